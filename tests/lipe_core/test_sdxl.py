def test_loads(model):
    print(model)
