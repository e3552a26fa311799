"""Pixel operations shared by nodes: resizing, filters, morphology, compositing, and image files with metadata.

Nodes reach it through `engine.api.imaging`. Nothing here changes its arguments.
"""

from engine.imaging.chart import draw_losses
from engine.imaging.color import packed_rgb, rgb_to_ycbcr, unpacked_rgb, ycbcr_to_rgb
from engine.imaging.composite import BLEND_MODES, blend, paste
from engine.imaging.decode import MAX_FRAMES, MAX_PIXELS, decode_channel, decode_images
from engine.imaging.encode import (
    encode_animated_png,
    encode_animated_webp,
    encode_jpeg,
    encode_png,
    encode_webp,
    fits_jpeg,
)
from engine.imaging.filters import blur, convolve_reflected, gaussian_kernel, sharpen, sharpening_kernel
from engine.imaging.hints import blank_hole, color_cells, scribble, shuffle_content, soften_tiles
from engine.imaging.key_frame import compress_like_key_frame, key_frame_steps
from engine.imaging.latent import PIXELS_PER_CELL, match_latent, require_same_layout
from engine.imaging.metadata import PARAMETERS, metadata_entries
from engine.imaging.morphology import dilate, dilate_cross, erode, erode_cross
from engine.imaging.picture import from_picture, to_bytes, to_picture
from engine.imaging.porter_duff import PORTER_DUFF_MODES, porter_duff
from engine.imaging.quantize import bayer_matrix, quantize
from engine.imaging.resize import RESIZE_METHODS, center_crop_to_aspect, resize, resize_images, resize_masks
from engine.imaging.shape import (
    image_size,
    mask_batch,
    match_channels,
    repeat_to_batch,
    require_batch,
    turn_clockwise,
    visible_span,
)
from engine.imaging.slerp import slerp
from engine.imaging.svg import svg_with_metadata
from engine.imaging.watermark import STABILITY_MESSAGE, compare_watermark, embed_watermark, message_bits

__all__ = [
    "BLEND_MODES",
    "MAX_FRAMES",
    "MAX_PIXELS",
    "PARAMETERS",
    "PIXELS_PER_CELL",
    "PORTER_DUFF_MODES",
    "RESIZE_METHODS",
    "STABILITY_MESSAGE",
    "bayer_matrix",
    "blank_hole",
    "blend",
    "blur",
    "center_crop_to_aspect",
    "color_cells",
    "compare_watermark",
    "compress_like_key_frame",
    "convolve_reflected",
    "decode_channel",
    "decode_images",
    "dilate",
    "dilate_cross",
    "draw_losses",
    "embed_watermark",
    "encode_animated_png",
    "encode_animated_webp",
    "encode_jpeg",
    "encode_png",
    "encode_webp",
    "erode",
    "erode_cross",
    "fits_jpeg",
    "from_picture",
    "gaussian_kernel",
    "image_size",
    "key_frame_steps",
    "mask_batch",
    "match_channels",
    "match_latent",
    "message_bits",
    "metadata_entries",
    "packed_rgb",
    "paste",
    "porter_duff",
    "quantize",
    "repeat_to_batch",
    "require_batch",
    "require_same_layout",
    "resize",
    "resize_images",
    "resize_masks",
    "rgb_to_ycbcr",
    "scribble",
    "sharpen",
    "sharpening_kernel",
    "shuffle_content",
    "slerp",
    "soften_tiles",
    "svg_with_metadata",
    "to_bytes",
    "to_picture",
    "turn_clockwise",
    "unpacked_rgb",
    "visible_span",
    "ycbcr_to_rgb",
]
