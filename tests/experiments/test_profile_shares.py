"""Where the time of a step goes, from traces of a GPU and of a CPU whose shares are worked out by hand."""

from typing import Any

import pytest

from galaxy_triton.experiments.profile_shares import kind_of, read_shares
from galaxy_triton.train.learner import AUGMENT, BACKWARD, BODY, LOSS, UPDATE

MAIN, AUTOGRAD, STREAM = 1, 2, 7
NORM, PRODUCT = "batch norm, ReLU, pooling", "convolution, matrix product"


def event(cat: str, name: str, start: float, end: float, tid: int = MAIN, launcher: int = 0) -> dict[str, Any]:
    """As torch writes it; times in microseconds."""
    return {
        "ph": "X",
        "cat": cat,
        "name": name,
        "ts": start,
        "dur": end - start,
        "tid": tid,
        "args": {"External id": launcher},
    }


def op(name: str, start: float, end: float, tid: int = MAIN, number: int = 0) -> dict[str, Any]:
    return event("cpu_op", name, start, end, tid, number)


def label(name: str, start: float, end: float) -> dict[str, Any]:
    return event("user_annotation", name, start, end)


def kernel(name: str, start: float, end: float, launcher: int = 0, cat: str = "kernel") -> dict[str, Any]:
    return event(cat, name, start, end, STREAM, launcher)


ELEMENTWISE = "void at::native::vectorized_elementwise_kernel<4, at::native::BinaryFunctor<float>>(int)"
LABELS = [
    label("ProfilerStep#3", 0, 500),
    label(AUGMENT, 0, 10),
    label(BODY, 10, 50),
    label(LOSS, 50, 60),
    label(BACKWARD, 60, 100),
    label(UPDATE, 100, 120),
]
GPU_STEP = [
    *LABELS,
    op("galaxy_triton::augment_draw", 1, 5, number=1),
    op("aten::conv2d", 11, 20, number=2),
    op("aten::cudnn_convolution", 12, 18, number=3),
    event("cuda_runtime", "cudaLaunchKernel", 13, 14, launcher=3),
    op("aten::relu_", 20, 22, number=4),
    op("aten::mul", 51, 53, number=6),
    op("autograd::engine::evaluate_function: ReluBackward0", 66, 70, AUTOGRAD, 9),
    op("aten::threshold_backward", 67, 69, AUTOGRAD, 10),
    op("autograd::engine::evaluate_function: ConvolutionBackward0", 71, 90, AUTOGRAD, 11),
    op("aten::convolution_backward", 72, 89, AUTOGRAD, 12),
    op("torch::autograd::AccumulateGrad", 91, 95, AUTOGRAD, 14),
    op("aten::_foreach_mul_", 101, 103, number=13),
    event("gpu_user_annotation", BODY, 300, 480, STREAM, 3),
    kernel("_views_kernel", 200, 230, 1),
    kernel("void cudnn::ops::nchwToNhwcKernel<__nv_bfloat16>(int)", 230, 240, 3),
    kernel("sm90_xmma_fprop_implicit_gemm_bf16bf16_nhwc", 240, 340, 3),
    kernel(ELEMENTWISE, 340, 360, 4),
    kernel(ELEMENTWISE, 360, 365, 6),
    kernel(ELEMENTWISE, 372, 390, 10),
    kernel("cutlass_tensorop_bf16_wgrad_optimized", 390, 450, 12),
    kernel(ELEMENTWISE, 450, 453, 14),
    kernel(ELEMENTWISE, 460, 471, 13),
    kernel("Memcpy DtoH (Device -> Pinned)", 471, 472, cat="gpu_memcpy"),
]
GPU_TIMES = {
    "augmentation": 30,
    PRODUCT: 160,
    NORM: 38,
    "loss": 5,
    "optimiser": 11,
    "copies, fills": 11,
    "other": 3,
    "idle": 500 - 258,
}


def of_500(times: dict[str, float]) -> Any:
    """The shares of these microseconds in a step of 500."""
    return pytest.approx({kind: time / 500 for kind, time in times.items()})


def test_a_step_on_a_gpu() -> None:
    """Kernels run long after their launch, half of them launched by autograd's thread; annotations are no kernels."""
    assert read_shares(GPU_STEP, "cuda") == of_500(GPU_TIMES)
    assert read_shares(GPU_STEP[::-1], "cuda") == of_500(GPU_TIMES)
    two_steps = read_shares([*GPU_STEP, label("ProfilerStep#4", 500, 1000)], "cuda")
    assert two_steps[PRODUCT] == pytest.approx(0.16)


def test_kernels_side_by_side_are_busy_once() -> None:
    kernels = [kernel("gemm", *span) for span in ((0, 60), (20, 70), (30, 40), (75, 80))]
    found = read_shares([label("ProfilerStep#1", 0, 100), *kernels], "cuda")
    assert found == pytest.approx({PRODUCT: 1.25, "idle": 0.25})


def test_a_gpu_that_the_profiler_cannot_see() -> None:
    assert read_shares([item for item in GPU_STEP if item["tid"] == MAIN], "cuda") == {}


def test_a_step_on_a_cpu() -> None:
    """The time of an operation is the time in itself."""
    ops = [
        op("aten::conv2d", 10, 20),
        op("aten::mkldnn_convolution", 11, 19),
        op("aten::copy_", 11, 13),
        op("aten::relu_", 20, 25),
        op("aten::add_", 130, 135),  # after all labels
    ]
    times = {PRODUCT: 8, "copies, fills": 2, NORM: 5, "other": 5, "idle": 480}
    assert read_shares([*LABELS, *ops], "cpu") == of_500(times)


NAMES = {
    PRODUCT: [
        "sm90_xmma_dgrad_implicit_gemm_bf16bf16_bf16f32",
        "void cudnn::cnn::wgrad_alg0_engine<float>",
        "nvjet_hsh_128x256_64x4_1x2_h_bz_coopA_NTT",
        "void cublasLt::splitKreduce_kernel<32, 16>",
        "aten::mm",
        "triton_tem_fused_convolution_relu_3",
    ],
    NORM: [
        "void cudnn::bn_fw_tr_1C11_kernel_NCHW<float>",
        "void at::native::batch_norm_backward_reduce_channels_last_kernel<4>",
        "aten::clamp_min_",
        "aten::threshold_backward",
        "void at::native::(anonymous namespace)::max_pool_forward_nhwc<c10::BFloat16>",
        "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::MeanOps<float>>>",
        # torch.compile's, by all that they fuse; a convolution in one of these is only laid out
        "triton_poi_fused__native_batch_norm_legit_functional_relu_3",
        "triton_red_fused__native_batch_norm_legit_functional_convolution_2",
        "triton_poi_fused__to_copy_max_pool2d_with_indices_5",
    ],
    "copies, fills": [
        "void cudnn::ops::convertTensor_kernel<float>",
        "void at::native::elementwise_kernel<128, 4, at::native::direct_copy_kernel_cuda>",
        "void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>>",
        "Memset (Device)",
        "triton_poi_fused_convolution_backward_1",
    ],
    "compiled, not told apart": ["## Call CompiledFxGraph fwvhfr44cttf ##"],
    "other": ["aten::bernoulli_", "aten::randint", "triton_poi_fused_bernoulli_mul_4"],
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in NAMES.items() for name in names])
def test_kind_of_a_name(kind: str, name: str) -> None:
    assert kind_of([name]) == kind


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["aten::native_batch_norm", AUGMENT], "augmentation"),
        (["aten::native_batch_norm", LOSS], "loss"),
        (["aten::native_batch_norm", UPDATE], "optimiser"),
        (["aten::div", "aten::copy_", "aten::native_batch_norm", BODY], "copies, fills"),
        (["aten::div", "MeanBackward1", BACKWARD], NORM),
        ([], "other"),
    ],
)
def test_labels_decide_before_names_and_inner_names_before_outer(names: list[str], kind: str) -> None:
    assert kind_of(names) == kind
