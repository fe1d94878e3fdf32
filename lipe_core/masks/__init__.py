"""Where the subject is: attention maps, segmentation and mask algebra."""
