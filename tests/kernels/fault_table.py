"""Faults to plant in the kernels, one at a time: what each is, where, and the test file that should see it first."""

from dataclasses import dataclass

IMAGE, COLOUR = "augmentation/fused_image.py", "augmentation/fused_colour.py"
DRAW, WARP = "augmentation/fused_draw.py", "augmentation/fused_warp.py"
SIGMOID, TREE, LOSS = "sigmoid_loss/fused.py", "tree_loss/fused.py", "loss_autograd.py"
REFERENCE, PARAMETERS = "augmentation/reference.py", "augmentation/parameters.py"
PHILOX, MODULE, TREE_REFERENCE = "philox.py", "random_view.py", "tree_loss/reference.py"
BLOCK, WINDOWS = "norm_pool/fused.py", "norm_pool/fused_windows.py"
CLOSED, BLOCK_END = "norm_pool/closed_form.py", "norm_pool/autograd.py"

PARITY, SAMPLING = "test_augmentation_parity.py", "test_augmentation_sampling.py"
CONTRACT, LARGE, RANDOM_VIEW = "test_augmentation_contract.py", "test_large.py", "test_random_view.py"
SETTINGS, PHILOX_TEST = "test_launch_settings.py", "test_philox.py"
SIGMOID_LOSS, TREE_LOSS, LOSSES = "test_sigmoid_loss.py", "test_tree_loss.py", "test_losses.py"
NORM_POOL = "test_norm_pool.py"


@dataclass(frozen=True)
class Fault:
    """A change that makes a kernel, or what it is compared with, wrong.

    name: of the fault. meaning: what the code then does. file: in kernels/. tests: the test file that runs before the
    others. text: stands once in the file. replacement: what is put in its place.
    """

    name: str
    meaning: str
    file: str
    tests: str
    text: str
    replacement: str


# fmt: off
FAULTS = (
    # The warp.
    Fault("swapped axes", "a view's rows are taken for its columns", WARP, PARITY,
          "vx, vy = x.to(tl.float32), y.to(tl.float32)", "vy, vx = x.to(tl.float32), y.to(tl.float32)"),
    Fault("half-pixel shift", "a pixel's corner is taken for its centre", WARP, PARITY,
          "tl.fma(a01, vy, a02)", "tl.fma(a01, vy, a02 + 0.5)"),
    Fault("weights swapped", "the nearer of two pixels counts the less", WARP, PARITY,
          "fx = sx - ix.to(tl.float32)", "fx = 1.0 - (sx - ix.to(tl.float32))"),
    Fault("border off by one", "a source's first row and column are taken for outside", WARP, PARITY,
          "(v >= 0)", "(v >= 1)"),
    Fault("reflect without clamp", "what lies half a pixel outside is blended with black", WARP, PARITY,
          "tl.minimum(tl.maximum(mirrored, 0.0), SIDE - 1.0)", "mirrored"),
    Fault("reflect about a centre", "mirrored at the centre of the border pixel, not at its edge", WARP, PARITY,
          "tl.abs(v + 0.5)", "tl.abs(v)"),
    Fault("channels swapped", "red, blue, green", WARP, PARITY,
          "g, b = (word >> 8)", "b, g = (word >> 8)"),
    Fault("scale of bytes", "255 becomes less than 1", WARP, PARITY,
          "1.0 / 255.0", "1.0 / 256.0"),
    Fault("planes of a square", "green is looked for where it lies in a square image", WARP, RANDOM_VIEW,
          "pixel_ptr + HEIGHT * WIDTH", "pixel_ptr + WIDTH * WIDTH"),
    Fault("patches that stand out", "tiles are counted as if no patch stood out of the view", WARP, SETTINGS,
          "(patches * _ACROSS * _DOWN + TILE - 1) // TILE", "(VIEW_HEIGHT * VIEW_WIDTH + TILE - 1) // TILE"),
    # The colours.
    Fault("wrong pivot", "contrast about 0.5, not about the image's mean", COLOUR, PARITY,
          "rest = pivot * ", "rest = 0.5 * "),
    Fault("missing clamp", "a colour may pass 1", COLOUR, PARITY,
          "tl.minimum(tl.maximum(v, 0.0), 1.0)", "tl.maximum(v, 0.0)"),
    Fault("hue sign", "the hue turns the other way", COLOUR, PARITY,
          "6.0 * turns - 3.0", "-6.0 * turns - 3.0"),
    Fault("hue not wrapped", "a hue that leaves the hexagon at one end does not come in at the other", COLOUR, PARITY,
          "tl.fma(tl.floor(tl.fma(sector, 1.0 / 6.0, 0.5)), -6.0, sector)", "sector"),
    Fault("wrong grey", "saturation about the plain mean of the channels", COLOUR, PARITY,
          "rest = grey(r, g, b) * ", "rest = (r + g + b) / 3.0 * "),
    Fault("luma swapped", "red counts as blue in the grey image", COLOUR, PARITY,
          "r, 0.2989, tl.fma(g, 0.587, b * 0.114)", "r, 0.114, tl.fma(g, 0.587, b * 0.2989)"),
    Fault("last two swapped", "each order ends with its last two operations swapped", COLOUR, PARITY,
          "swapped = k % 2 == 1", "swapped = k % 2 == 0"),
    # The view.
    Fault("order ignored", "every image has the first order", IMAGE, PARITY,
          "permutation(order)", "permutation(order * 0)"),
    Fault("pivot before its turn", "contrast about the mean of the image before the other operations", IMAGE, PARITY,
          "if first != 1:", "if first < 0:"),
    Fault("mean over the padded tile", "the mean counts places beyond the view", IMAGE, PARITY,
          "(1.0 / (VIEW_HEIGHT * VIEW_WIDTH))",
          "(1.0 / (tiles(VIEW_HEIGHT, VIEW_WIDTH, TILE) * TILE))"),
    Fault("normalisation order", "divided by std before mean is subtracted", IMAGE, CONTRACT,
          "-MEAN_RED / STD_RED", "-MEAN_RED"),
    Fault("fourth channel not zero", "the channel that layout 4 adds holds red", IMAGE, CONTRACT,
          "tl.zeros_like(r)", "r"),
    Fault("fourth channel of a word not zero", "the word of layout 4 ends with blue", IMAGE, CONTRACT,
          "(_bits(b, out_ptr) << 32)", "(_bits(b, out_ptr) << 48)"),
    Fault("tiles not shared", "the programs that share an image all write the same tiles", IMAGE, SETTINGS,
          "step * PROGRAMS + part,", "step * PROGRAMS,"),
    Fault("index ignored", "every view is of the store's first image", IMAGE, PARITY,
          "tl.load(index_ptr + batch) * (HEIGHT * WIDTH)", "tl.load(index_ptr + batch) * 0"),
    Fault("offset in 31 bits", "an image's place in the store wraps at 2**31 pixels", IMAGE, LARGE,
          "tl.load(index_ptr + batch) * (HEIGHT * WIDTH)",
          "(tl.load(index_ptr + batch) * (HEIGHT * WIDTH) & 0x7FFFFFFF)"),
    # The draw.
    Fault("seed ignored", "every seed draws the same views", DRAW, SAMPLING,
          "tl.philox(seed,", "tl.philox(seed * 0,"),
    Fault("high half of the seed ignored", "seeds 2**32 apart draw the same views", DRAW, SAMPLING,
          "tl.philox(seed,", "tl.philox(seed & 0xFFFFFFFF,"),
    Fault("epoch ignored", "every epoch has the same views", DRAW, SAMPLING,
          "(epoch & 0xFFFFFFFF)", "(epoch & 0)"),
    Fault("high half of the id ignored", "ids 2**32 apart have the same views", DRAW, SAMPLING,
          "(image_id >> 32) & 0xFFFFFFFF", "(image_id >> 32) & 0"),
    Fault("stream swapped", "the order is drawn from the words of brightness", DRAW, SAMPLING,
          'STREAMS["order"]', 'STREAMS["jitter"]'),
    Fault("low bits for high", "a number in [0, 1) from the lower 24 bits", DRAW, SAMPLING,
          "(bits >> 8)", "(bits & 0xFFFFFF)"),
    Fault("rotation's sense", "the image turns the other way", DRAW, SAMPLING,
          "_cos_sin(_symmetric(angle) * most_turns)", "_cos_sin(_symmetric(angle) * -most_turns)"),
    Fault("zoom inverted", "smaller where it should be larger", DRAW, SAMPLING,
          "_small_exp((1.0 - 2.0 * _unit(zoom)) * log_zoom)", "_small_exp((2.0 * _unit(zoom) - 1.0) * log_zoom)"),
    Fault("flip probability ignored", "half of all views are flipped", DRAW, RANDOM_VIEW,
          "_unit(flip_x) < horizontal", "_unit(flip_x) < 0.5"),
    Fault("one shift for both axes", "views move along the diagonal only", DRAW, SAMPLING,
          "_symmetric(shift_y) * shift", "_symmetric(shift_x) * shift"),
    Fault("crop off by one", "the last column is in no crop", DRAW, SAMPLING,
          "(WIDTH - VIEW_WIDTH + 1)", "(WIDTH - VIEW_WIDTH)"),
    Fault("another's range", "saturation is drawn in brightness's range", DRAW, SAMPLING,
          "_symmetric(word2) * saturation_range", "_symmetric(word2) * brightness_range"),
    Fault("an order too few", "the last of the 24 orders is never drawn", DRAW, SAMPLING,
          "_unit(word0) * 24.0", "_unit(word0) * 23.0"),
    # The losses.
    Fault("gradient without 1/n, sigmoid", "the gradient of the sum, not of the mean", SIGMOID, SIGMOID_LOSS,
          "p * (1.0 - p) * over_count", "p * (1.0 - p)"),
    Fault("gradient without 2", "the gradient of half the loss", SIGMOID, SIGMOID_LOSS,
          "2.0 * weighted * p", "weighted * p"),
    Fault("weight ignored", "every column counts alike", SIGMOID, SIGMOID_LOSS,
          "error * tl.load(weight_ptr + (column + place) % COLUMNS, mask=mask, other=0.0)", "error"),
    Fault("weights from the first column", "a program begins with the first column's weight", SIGMOID, SIGMOID_LOSS,
          "(column + place) % COLUMNS", "place % COLUMNS"),
    Fault("lanes not cleared", "lanes beyond the batch add to the loss", SIGMOID, SIGMOID_LOSS,
          "tl.where(mask, p - y, 0.0)", "p - y"),
    Fault("one program's loss", "of many programs only the first one's sum is taken", LOSS, LOSSES,
          "partial.sum()", "partial[0].clone()"),
    Fault("cast before scale", "a gradient is rounded to the logits' type before it is scaled", LOSS, LOSSES,
          "torch.mul(gradient, upstream,", "torch.mul(gradient.to(ctx.dtype), upstream,"),
    Fault("upstream ignored", "the gradient of the loss, whatever follows it", LOSS, TREE_LOSS,
          "torch.mul(gradient, upstream,", "torch.mul(gradient, 1.0,"),
    Fault("parent left out", "a question is taken as if nothing led to it", TREE, TREE_LOSS,
          "p = share * above[None, :]", "p = share"),
    Fault("gradient without 1/n, tree", "the gradient of the sum, not of the mean", TREE, TREE_LOSS,
          "2.0 * weighted * p * over_count", "2.0 * weighted * p"),
    Fault("H below left out", "no gradient from the questions that hang from an answer", TREE, TREE_LOSS,
          "slope += tl.where(leads, slope_below[None, :], 0.0)", "slope += 0.0"),
    Fault("total left out", "the answers of a question do not share its gradient", TREE, TREE_LOSS,
          "slope - share * total[None, :]", "slope"),
    Fault("rows not cleared", "rows outside the batch add to the loss", TREE, TREE_LOSS,
          "tl.where(mask, p - tl.load(targets_ptr + place, mask=mask, other=0.0), 0.0)",
          "p - tl.load(targets_ptr + place, mask=mask, other=0.0)"),
    Fault("weights of the first question", "every question has the weights of the first", TREE, TREE_LOSS,
          "tl.load(weight_ptr + column", "tl.load(weight_ptr + answer"),
    Fault("filled up with answers", "what fills up a tile is an answer of logit 0", TREE, TREE_LOSS,
          'float("-inf")', "0.0"),
    Fault("wrong answer leads", "every question hangs from the first answer of the one above", TREE, TREE_LOSS,
          "parent - columns.start", "0"),
    # The end of a block.
    Fault("sign ignored", "the largest is pooled where the weight is negative too", BLOCK, NORM_POOL,
          "tl.where(weight < 0, -1.0, 0.0)", "1.0"),
    Fault("last of equal values", "of equal values in a window the last gets the gradient", WINDOWS, NORM_POOL,
          "(sign * other > sign * x)", "(sign * other >= sign * x)"),
    Fault("pixels beyond an odd side", "a pixel that is not there counts as a square", BLOCK, NORM_POOL,
          "square_about(x1, centre, beside)", "square_about(x1, centre, there)"),
    Fault("tiles' means not apart", "a program adds its tiles' squares as if their means were one", WINDOWS, NORM_POOL,
          " + apart * apart * (count_a * share)", ""),
    Fault("parts' means not apart", "programs' squares are added as if their means were one", BLOCK, NORM_POOL,
          "squares + count * apart * apart", "squares"),
    Fault("gradient through ReLU", "what was negative gets a gradient", WINDOWS, NORM_POOL,
          "tl.where(y > 0, upstream, 0.0)", "upstream"),
    Fault("variance held fixed", "the gradient of x is taken as if the variance did not depend on it", BLOCK, NORM_POOL,
          " - (x - mean[None, :]) * slope[None, :]", ""),
    Fault("mean held fixed", "the gradient of x is taken as if the mean did not depend on it", BLOCK, NORM_POOL,
          " - level[None, :]", ""),
    Fault("weight's gradient unscaled", "by x - mean, not by what is normalised", BLOCK, NORM_POOL,
          "tl.sum(by_weight, axis=0) * r", "tl.sum(by_weight, axis=0)"),
    Fault("running variance of a population", "it moves towards the biased variance", BLOCK_END, NORM_POOL,
          "var * (count / (count - 1))", "var"),
    Fault("closed form: a weight of 0", "is taken for a positive one", CLOSED, NORM_POOL,
          "(weight > 0).all()", "(weight >= 0).all()"),
    Fault("closed form: windows for pixels", "the moments' gradient is shared among the windows", CLOSED, NORM_POOL,
          "-x.shape[1] / x.numel()", "-x.shape[1] / y.numel()"),
    # What the kernels are compared with, and the module.
    Fault("reference: one mean", "contrast about the mean of the whole batch", REFERENCE, PARITY,
          "_mean(grey(image).flatten(1))", "grey(image).mean().expand(len(image))"),
    Fault("reference: half-pixel shift", "a pixel's corner is taken for its centre", REFERENCE, PARITY,
          "(2 * source_x + 1) / width", "(2 * source_x) / width"),
    Fault("reference: hue sign", "the hue turns the other way", REFERENCE, PARITY,
          "sector + 6 * turns", "sector - 6 * turns"),
    Fault("reference: bytes for floats", "a batch of floats is divided by 255", REFERENCE, RANDOM_VIEW,
          "(1 if pixels.is_floating_point() else 255)", "255"),
    Fault("sample: seed ignored", "the torch twin draws the same angles for every seed", PARAMETERS, SAMPLING,
          'draw_bits(seed, epoch, ids, "geometry")', 'draw_bits(seed * 0, epoch, ids, "geometry")'),
    Fault("sample: zoom not logarithmic", "zoom is uniform", PARAMETERS, SAMPLING,
          "small_exp((1 - 2 * geometry[:, 3]) * math.log(ranges.zoom))",
          "1 + (1 - 2 * geometry[:, 3]) * (ranges.zoom - 1)"),
    Fault("sample: seeds' high half ignored", "seeds 2**32 apart draw the same views", PHILOX, PHILOX_TEST,
          "seed >> 32 & _WORD", "seed >> 32 & 0"),
    Fault("a round too few", "nine rounds of Philox", PHILOX, PHILOX_TEST,
          "_ROUNDS = 10", "_ROUNDS = 9"),
    Fault("tree's reference: no parent", "a question is taken as if nothing led to it", TREE_REFERENCE, TREE_LOSS,
          "logs = logs + totals[question][:, answer : answer + 1]", "logs = logs + 0"),
    Fault("step not counted", "every call has the views of the first", MODULE, RANDOM_VIEW,
          "self.step += int(self.training)", "self.step += 0"),
    Fault("evaluation counted", "a call in eval mode counts as an epoch", MODULE, RANDOM_VIEW,
          "self.step += int(self.training)", "self.step += 1"),
)
# fmt: on
