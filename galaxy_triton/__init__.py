"""Galaxy Zoo networks trained from pixels in GPU memory, with fused Triton kernels."""

__version__ = "0.1.0"
