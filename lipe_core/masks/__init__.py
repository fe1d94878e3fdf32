"""The subject's place in an image: attention maps, segmentation and mask algebra."""
