"""How good an edit is: extractors (picture -> features) apart from pure functions of features and of pixels.

No figure stands alone. A copy of the source has the highest identity and the best background, and has edited nothing;
whole-picture similarities rise for free where a method pastes the background back.
"""
