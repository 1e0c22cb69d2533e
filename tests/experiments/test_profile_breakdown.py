"""Where time goes, from plain lists of what a profiler would have seen on a GPU and on a CPU."""

import json
from collections.abc import Sequence

import pytest

from galaxy_triton.experiments.profile_breakdown import Breakdown, Kernel, Op, Part, Seen, break_down, covered, kind_of
from galaxy_triton.train.learner import AUGMENT, BACKWARD, BODY, LOSS, UPDATE

MAIN, AUTOGRAD = 1, 2
LABELS = [
    Op(AUGMENT, 0, 10),
    Op(BODY, 10, 50),
    Op(LOSS, 50, 60),
    Op(BACKWARD, 60, 100),
    Op(UPDATE, 100, 120),
]
OPS = [
    Op("galaxy_triton::augment_draw", 1, 5, MAIN, -1, 1),
    Op("aten::conv2d", 11, 20, MAIN, 7, 2),
    Op("aten::cudnn_convolution", 12, 18, MAIN, 7, 3),
    Op("aten::relu_", 20, 22, MAIN, 8, 4),
    # It stands before the node of the loss is made, and so has its number, as operations without a node do.
    Op("aten::view", 48, 49, MAIN, 9, 5),
    Op("aten::mul", 51, 53, MAIN, 9, 6),
    Op("autograd::engine::evaluate_function: MulBackward0", 61, 65, AUTOGRAD, 9, 7),
    Op("aten::mul", 62, 64, AUTOGRAD, -1, 8),
    Op("autograd::engine::evaluate_function: ReluBackward0", 66, 70, AUTOGRAD, 8, 9),
    Op("aten::threshold_backward", 67, 69, AUTOGRAD, -1, 10),
    Op("autograd::engine::evaluate_function: ConvolutionBackward0", 71, 90, AUTOGRAD, 7, 11),
    Op("aten::convolution_backward", 72, 89, AUTOGRAD, -1, 12),
    Op("torch::autograd::AccumulateGrad", 91, 95, AUTOGRAD, -1, 14),
    Op("aten::_foreach_mul_", 101, 103, MAIN, -1, 13),
]
ELEMENTWISE = "void at::native::vectorized_elementwise_kernel<4, at::native::BinaryFunctor<float>>(int)"
KERNELS = [
    Kernel("_views_kernel", 1000, 1030, 1),
    Kernel("sm90_xmma_fprop_implicit_gemm_bf16bf16_nhwc", 1040, 1140, 3),
    Kernel("void cudnn::ops::nchwToNhwcKernel<__nv_bfloat16>(int)", 1030, 1040, 3),
    Kernel(ELEMENTWISE, 1140, 1160, 4),
    Kernel(ELEMENTWISE, 1160, 1165, 6),
    Kernel(ELEMENTWISE, 1165, 1172, 8),
    Kernel(ELEMENTWISE, 1172, 1190, 10),
    Kernel("cutlass_tensorop_bf16_wgrad_optimized", 1190, 1390, 12),
    Kernel(ELEMENTWISE, 1390, 1393, 14),
    Kernel(ELEMENTWISE, 1400, 1411, 13),
    Kernel("Memcpy DtoH (Device -> Pinned)", 1411, 1412, 0),
]


def times(breakdown: Breakdown) -> dict[str, float]:
    """Microseconds in all recorded steps."""
    return {part.kind: pytest.approx(part.ms * 1e3 * breakdown.steps) for part in breakdown.parts}


def test_a_step_on_a_gpu() -> None:
    """Kernels run long after they were launched, and half of them were launched by autograd's thread."""
    found = break_down(Seen(LABELS, OPS, KERNELS), "cuda", first=4, steps=1, wall_us=500)
    assert times(found) == {
        "augmentation": 30,
        "convolution, matrix product": 300,
        "ReLU": 38,
        "loss": 12,
        "optimiser": 11,
        "copies, fills": 11,
        "other": 3,
        "idle": 95,
    }
    assert {part.kind: part.calls for part in found.parts}["loss"] == 2
    assert [part.ms for part in found.parts] == sorted((part.ms for part in found.parts), reverse=True)


def test_the_order_of_events_is_of_no_account() -> None:
    shuffled = Seen(LABELS[::-1], OPS[::-1], KERNELS[::-1])
    ordered = Seen(LABELS, OPS, KERNELS)
    assert times(break_down(shuffled, "cuda", 1, 1, 500)) == times(break_down(ordered, "cuda", 1, 1, 500))


def test_the_number_of_a_node_is_that_of_who_made_it() -> None:
    """What stands last under a loss makes no node, and has the number of the next step's first."""
    after = [Op("aten::detach", 58, 59, MAIN, 10)]
    labels = [*LABELS, Op(BODY, 210, 250), Op(BACKWARD, 260, 300)]
    again = [
        Op("aten::cudnn_convolution", 211, 212, MAIN, 10, 16),
        Op("autograd::engine::evaluate_function: ConvolutionBackward0", 261, 262, AUTOGRAD, 10, 17),
    ]
    kernels = [Kernel(ELEMENTWISE, 2000, 2010, 17)]
    found = break_down(Seen(labels, [*OPS, *after, *again], kernels), "cuda", 1, 1, 10)
    assert times(found) == {"convolution, matrix product": 10, "idle": 0}


def test_figures_are_of_one_step() -> None:
    found = break_down(Seen(LABELS, OPS, KERNELS), "cuda", first=4, steps=2, wall_us=500)
    parts = {part.kind: part for part in found.parts}
    assert (found.step_ms, found.first, found.steps) == (0.25, 4, 2)
    assert parts["convolution, matrix product"] == Part("convolution, matrix product", pytest.approx(0.15), 1)
    assert parts["idle"] == Part("idle", pytest.approx(0.0475), 0)


def test_kernels_side_by_side_leave_no_less_idle() -> None:
    kernels = [Kernel("gemm", 0, 60), Kernel("gemm", 20, 80), Kernel("gemm", 30, 40)]
    found = break_down(Seen([], [], kernels), "cuda", 1, 1, 100)
    assert times(found) == {"convolution, matrix product": 130, "idle": 20}


def test_nothing_seen_of_a_gpu_is_no_idle_gpu() -> None:
    assert break_down(Seen(LABELS, OPS), "cuda", 1, 1, 500).parts == ()


def test_a_step_on_a_cpu() -> None:
    """An operation's time is what it spends in itself; what calls nothing counts as a call."""
    ops = [
        Op("aten::conv2d", 10, 20, MAIN, 7),
        Op("aten::mkldnn_convolution", 11, 19, MAIN),
        Op("aten::copy_", 11, 13, MAIN),
        Op("aten::relu_", 20, 25, MAIN, 8),
        Op("aten::add_", 130, 135, MAIN),  # after all labels
    ]
    found = break_down(Seen(LABELS, ops), "cpu", 1, 1, 140)
    assert times(found) == {
        "convolution, matrix product": 8,
        "copies, fills": 2,
        "ReLU": 5,
        "other": 5,
        "idle": 120,
    }
    assert {part.kind: part.calls for part in found.parts} == {
        "convolution, matrix product": 0,
        "copies, fills": 1,
        "ReLU": 1,
        "other": 1,
        "idle": 0,
    }


@pytest.mark.parametrize(
    ("spans", "length"),
    [([], 0), ([(0, 1)], 1), ([(0, 1), (2, 4)], 3), ([(0, 5), (1, 2), (4, 7)], 7), ([(3, 4), (0, 1), (1, 2)], 3)],
)
def test_covered(spans: Sequence[tuple[float, float]], length: float) -> None:
    assert covered(spans) == length


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sm90_xmma_dgrad_implicit_gemm_bf16bf16_bf16f32", "convolution, matrix product"),
        ("void cudnn::cnn::wgrad_alg0_engine<float>", "convolution, matrix product"),
        ("nvjet_hsh_128x256_64x4_1x2_h_bz_coopA_NTT", "convolution, matrix product"),
        ("void cublasLt::splitKreduce_kernel<32, 16>", "convolution, matrix product"),
        ("aten::mm", "convolution, matrix product"),
        ("triton_tem_fused_convolution_relu_3", "convolution, matrix product"),
        ("void cudnn::bn_fw_tr_1C11_kernel_NCHW<float>", "batch norm"),
        ("void at::native::batch_norm_backward_reduce_channels_last_kernel<4>", "batch norm"),
        ("aten::native_batch_norm_backward", "batch norm"),
        ("aten::clamp_min_", "ReLU"),
        ("aten::threshold_backward", "ReLU"),
        ("void at::native::(anonymous namespace)::max_pool_forward_nhwc<c10::BFloat16>", "pooling"),
        ("void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::MeanOps<float>>>", "pooling"),
        ("void cudnn::ops::convertTensor_kernel<float>", "copies, fills"),
        ("void at::native::elementwise_kernel<128, 4, at::native::direct_copy_kernel_cuda>", "copies, fills"),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>>", "copies, fills"),
        ("Memset (Device)", "copies, fills"),
        ("aten::bernoulli_", "other"),
        ("aten::randint", "other"),
        # Inductor's, by what they fused; a convolution in one of these is only laid out.
        ("triton_poi_fused__native_batch_norm_legit_functional_relu_3", "fused: batch norm, ReLU"),
        ("triton_red_fused_native_batch_norm_backward_threshold_backward_7", "fused: batch norm, ReLU"),
        ("triton_red_fused__native_batch_norm_legit_functional_convolution_2", "batch norm"),
        ("triton_poi_fused__to_copy_max_pool2d_with_indices_5", "pooling"),
        ("triton_per_fused__native_batch_norm_legit_functional_mean_relu_9", "fused: batch norm, ReLU, pooling"),
        ("triton_poi_fused__to_copy_convolution_0", "copies, fills"),
        ("triton_poi_fused_convolution_backward_1", "copies, fills"),
        ("triton_poi_fused_bernoulli_mul_4", "other"),
    ],
)
def test_kind_of_a_name(name: str, kind: str) -> None:
    assert kind_of([name], BODY) == kind
    assert kind_of([name], BACKWARD) == kind
    assert kind_of([name], None) == kind


@pytest.mark.parametrize(("label", "kind"), [(AUGMENT, "augmentation"), (LOSS, "loss"), (UPDATE, "optimiser")])
def test_a_label_goes_before_a_name(label: str, kind: str) -> None:
    assert kind_of(["aten::native_batch_norm"], label) == kind


def test_the_innermost_name_that_says_something_decides() -> None:
    assert kind_of(["aten::div", "aten::copy_", "aten::native_batch_norm"], BODY) == "copies, fills"
    assert kind_of(["aten::div", "MeanBackward1"], BACKWARD) == "pooling"
    assert kind_of(["aten::div", "MeanBackward0"], BACKWARD, of_loss=True) == "loss"
    assert kind_of([], BODY) == "other"


def test_as_dict_is_plain() -> None:
    found = break_down(Seen(LABELS, OPS, KERNELS), "cuda", 4, 1, 500)
    plain = json.loads(json.dumps(found.as_dict()))
    assert Breakdown(**{**plain, "parts": tuple(Part(**part) for part in plain["parts"])}) == found
