"""Shares, the ring, the time of a step: chapter 12 against other ways to compute it."""

import copy
import json
import math
import random
import re
import shlex
from fractions import Fraction
from itertools import product

import nbformat
import prose
import pytest
import torch
from torch.distributed.run import get_args_parser
from torch.nn.utils import parameters_to_vector
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from tools.book import BOOK, NOTEBOOKS
from tools.diagrams import summands
from vae_lib.__main__ import make_parser
from vae_lib.distributed import share
from vae_lib.models import VAE, VAEConfig
from vae_lib.objectives import elbo, importance_weighted_bound
from vae_lib.steps import take_step
from vae_lib.training import train

says = prose.says("12-scaling-up")
PAGE = BOOK / "12-scaling-up.md"
NOTEBOOK = NOTEBOOKS / "12-scaling-up.ipynb"


@pytest.fixture
def as_process(monkeypatch):
    """Make the library believe that it is process r of W."""

    def be(r: int, n: int) -> None:
        monkeypatch.setattr("vae_lib.distributed.rank", lambda: r)
        monkeypatch.setattr("vae_lib.distributed.n_processes", lambda: n)

    return be


def gradient(model, x, eps, **options) -> torch.Tensor:
    """What one library step of size one moves the weights by."""
    model = copy.deepcopy(model)
    before = parameters_to_vector(model.parameters()).detach().clone()
    take_step(model, torch.optim.SGD(model.parameters(), lr=1.0), x, eps, **options)
    return before - parameters_to_vector(model.parameters()).detach()


def of_one_image(model, x, eps, objective) -> torch.Tensor:
    """Gradient of minus the bound of a single image, (1, D), without the library."""
    output = model(x, eps=eps, weights=objective == "iwae")
    if objective == "iwae":
        bound = importance_weighted_bound(output.log_w)
    else:
        bound = elbo(output.log_p_x_given_z, output.kl)
    slopes = torch.autograd.grad(-bound.sum(), list(model.parameters()))
    return parameters_to_vector(slopes)


@pytest.mark.equation("eq-shared-gradient")
@pytest.mark.parametrize("objective", ["elbo", "iwae"])
@pytest.mark.parametrize("n", range(1, 8))
def test_shares_of_any_size_average_to_the_mean_over_images(
    make_vae, batch, as_process, objective, n
):
    model = make_vae()
    eps = torch.randn((2, 7, 2) if objective == "iwae" else (7, 2)).double()
    single = [
        of_one_image(model, batch[i : i + 1], eps[..., i : i + 1, :], objective)
        for i in range(7)
    ]
    total = 0
    for r in range(n):
        as_process(r, n)
        options = {"n_images": 7 / n, "objective": objective}
        total += gradient(model, share(batch), share(eps), **options)
    assert_close(total / n, sum(single) / 7, rtol=0, atol=1e-12)


def test_means_over_unequal_shares_weigh_images_of_small_shares_more(make_vae, batch):
    """Seven images, five processes: two shares of two and three of one."""
    model, eps = make_vae(), torch.randn(7, 2).double()
    shares = [range(r, 7, 5) for r in range(5)]
    assert [len(s) for s in shares] == [2, 2, 1, 1, 1]
    own = [gradient(model, batch[s], eps[s], n_images=len(s)) for s in shares]
    weight = {i: 1 / (5 * len(s)) for s in shares for i in s}
    single = [
        of_one_image(model, batch[i : i + 1], eps[i : i + 1], "elbo") for i in range(7)
    ]
    expected = sum(weight[i] * g for i, g in enumerate(single))
    assert_close(sum(own) / 5, expected, rtol=0, atol=1e-12)
    assert (expected - sum(single) / 7).norm() > 0.01 * expected.norm()


@pytest.mark.parametrize("n", [1, 2, 3, 5, 11])
def test_shares_are_disjoint_complete_and_equal_within_one(as_process, n):
    rows, taken = torch.arange(11.0)[:, None], []
    for r in range(n):
        as_process(r, n)
        taken.append(share(rows).flatten().tolist())
    assert sorted(sum(taken, [])) == list(range(11))
    sizes = [len(mine) for mine in taken]
    assert max(sizes) - min(sizes) <= 1


def averaged_step(models, optimizers, x, eps, clip_norm) -> None:
    """A step of W processes in one: own gradients, their average, own Adam."""
    n = len(models)
    for r, model in enumerate(models):
        output = model(x[r::n], eps=eps[r::n])
        bounds = elbo(output.log_p_x_given_z, output.kl)
        model.zero_grad()
        (-bounds.sum() / (len(x) / n)).backward()
    for same in zip(*(model.parameters() for model in models), strict=True):
        mean = sum(weight.grad for weight in same) / n
        for weight in same:
            weight.grad = mean.clone()
    for model, optimizer in zip(models, optimizers, strict=True):
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()


@pytest.mark.parametrize("n", [2, 3])
def test_processes_keep_equal_weights_and_those_of_one(make_vae, batch, n):
    alone, models = make_vae(), [make_vae() for _ in range(n)]
    optimizer = torch.optim.Adam(alone.parameters(), lr=1e-2)
    optimizers = [torch.optim.Adam(model.parameters(), lr=1e-2) for model in models]
    for _ in range(20):
        eps = torch.randn(7, 2).double()
        take_step(alone, optimizer, batch, eps, n_images=7, clip_norm=0.5)
        averaged_step(models, optimizers, batch, eps, 0.5)
    for model in models[1:]:
        assert_close(model.state_dict(), models[0].state_dict(), rtol=0, atol=0)
    assert_close(models[0].state_dict(), alone.state_dict(), rtol=0, atol=1e-9)


def run_ring(vectors, latency=0, rate=1):
    """Pass pieces around the ring of the page, message by message, with clocks.

    Returns the sums at each process, the numbers that each sent, and when each ended.
    A message leaves when its piece is there and the sender's last one has arrived.
    """
    n, length = len(vectors), len(vectors[0])
    cuts = [length * k // n for k in range(n + 1)]
    held = [[v[cuts[k] : cuts[k + 1]] for k in range(n)] for v in vectors]
    clock, sent = [0] * n, [0] * n
    for half, first in (("add", 0), ("copy", 1)):
        for turn in range(n - 1 if n > 1 else 0):
            post = []
            for w in range(n):
                k = (w + first - turn) % n
                took = latency + 4 * len(held[w][k]) / Fraction(rate)
                post.append(((w + 1) % n, k, list(held[w][k]), clock[w] + took))
                sent[w] += len(held[w][k])
            for to, k, piece, arrives in post:
                if half == "add":
                    piece = [a + b for a, b in zip(held[to][k], piece, strict=True)]
                held[to][k] = piece
                clock[to] = max(clock[to], arrives)
    return [sum(pieces, []) for pieces in held], sent, clock


@pytest.mark.equation("eq-ring-volume")
@pytest.mark.parametrize("n", [1, 2, 3, 4, 8])
def test_a_ring_sums_and_sends_the_volume_that_is_stated(n):
    numbers = random.Random(0)
    for length in (24, 48, 5):
        vectors = [[numbers.randint(-99, 99) for _ in range(length)] for _ in range(n)]
        sums, sent, _ = run_ring(vectors)
        assert sums == [[sum(column) for column in zip(*vectors, strict=True)]] * n
        assert sum(sent) == 2 * (n - 1) * length
        if length % n == 0:
            assert sent == [Fraction(2 * (n - 1), n) * length] * n
            assert sent[0] <= 2 * length and (n != 2 or sent[0] == length)


@pytest.mark.parametrize("n", [2, 4, 7])
def test_the_drawing_of_the_ring_shows_what_each_process_has_added(n):
    """Piece k starts at process k: whom it has passed is how far it has come."""
    half = [[(w - k) % n + 1 for k in range(n)] for w in range(n)]
    assert summands(0, n) == [[1] * n] * n
    assert summands(n - 1, n) == half
    assert [row.index(n) for row in half] == [(w + 1) % n for w in range(n)]
    assert summands(2 * (n - 1), n) == [[n] * n] * n


def step_time(n, t0, t1, n_images, n_parameters, latency, rate):
    rounds = 2 * (n - 1)
    volume = Fraction(rounds, n) * n_parameters  # eq-ring-volume
    return t0 + Fraction(n_images, n) * t1 + rounds * latency + 4 * volume / rate


@pytest.mark.equation("eq-step-time")
@pytest.mark.parametrize("n", [1, 2, 3, 4, 8])
def test_the_time_of_a_step_is_computation_and_the_clock_of_a_ring(n):
    latency, rate = Fraction(1, 7), Fraction(13)
    *_, clocks = run_ring([[1] * 48] * n, latency, rate)
    expected = Fraction(5) + Fraction(240, n) * Fraction(1, 3) + clocks[0]
    assert clocks == [clocks[0]] * n
    found = step_time(n, Fraction(5), Fraction(1, 3), 240, 48, latency, rate)
    assert found == expected


def cases():
    """(t0, t1, B, P, latency, rate) in fractions, where more pay and where not."""
    thirds = [Fraction(1, 3), Fraction(2), Fraction(50)]
    for t0, t1, latency, rate in product([Fraction(1)], thirds, thirds, thirds):
        yield t0, t1, 24, 10, latency / 10, rate


@pytest.mark.equation("eq-when-it-pays")
def test_more_processes_pay_just_where_computing_takes_longer_than_sending():
    seen = set()
    for case in cases():
        _, t1, n_images, n_parameters, latency, rate = case
        a = n_images * t1 - 8 * n_parameters / rate
        for n in range(2, 60):
            gain = step_time(n, *case) - step_time(1, *case)
            assert gain == (n - 1) * (2 * latency - a / n)
            pays = n_images * t1 > 2 * n * latency + 8 * n_parameters / rate
            assert pays == (gain < 0)
            seen.add(pays)
    assert seen == {True, False}


@pytest.mark.equation("eq-best-processes")
def test_the_best_number_of_processes_is_beside_the_root():
    checked = 0
    for case in cases():
        t0, t1, n_images, n_parameters, latency, rate = case
        a = n_images * t1 - 8 * n_parameters / rate
        if a <= 2 * latency:
            continue
        root = math.sqrt(a / (2 * latency))
        times = {n: step_time(n, *case) for n in range(1, int(root) + 3)}
        best = min(times, key=times.get)
        assert abs(best - root) < 1
        sent = 8 * n_parameters / rate
        least = t0 + sent - 2 * latency + 2 * math.sqrt(2 * latency * a)
        assert least <= times[best] * (1 + 1e-12)
        exact = Fraction(root)  # step_time takes any number: T(W*) itself
        at_root = t0 + sent + a / exact + 2 * (exact - 1) * latency
        assert math.isclose(at_root, least, rel_tol=1e-12)
        checked += 1
    assert checked > 10


@pytest.mark.equation("eq-speed-up")
def test_no_number_of_processes_exceeds_the_limit_of_the_speed_up():
    for case in cases():
        t0, t1, n_images, n_parameters, _, rate = case
        limit = (t0 + n_images * t1) / (t0 + 4 * n_parameters / rate)
        for n in range(2, 60):
            assert step_time(1, *case) / step_time(n, *case) < limit
    free = (Fraction(1), Fraction(1), 24, 10, Fraction(0), Fraction(10**30))
    many = step_time(1, *free) / step_time(10**6, *free)
    assert 0.999 * 25 < many < 25, "with free communication it is approached"


def test_a_set_mapped_from_a_file_trains_to_the_bits_of_one_in_memory(tmp_path):
    path = tmp_path / "images"
    images = torch.rand(50, 6)
    images.numpy().tofile(path)
    content, trained = path.read_bytes(), []
    mapped = torch.from_file(str(path), shared=False, size=300).view(50, 6)
    for given in (images, mapped):
        torch.manual_seed(0)
        model = VAE.from_data(VAEConfig(n_pixels=6, hidden_dims=(5,)), given)
        train(model, given, epochs=2, batch_size=16, device="cpu", progress=False)
        trained.append(model.state_dict())
    assert_close(trained[0], trained[1], rtol=0, atol=0)
    mapped.zero_()
    assert path.read_bytes() == content, "shared=False never writes"


@pytest.mark.book
def test_numbers_in_the_text_are_right():
    network = VAE(VAEConfig(latent_dim=20, hidden_dims=(400,)))
    size = sum(p.numel() for p in network.parameters())
    says("has $P = #$ parameters, or # bytes", size, 4 * size)
    says("needs to send # MB", 4e-6 * 15 * size)
    says("For our network that is # MB", 16e-6 * size)
    volumes = [8e-6 * (n - 1) / n * size for n in (2, 8)]
    says("send # MB each", volumes[0])
    says("eight send # MB", volumes[1])
    says("sends more than # MB", 8e-6 * size)
    divisors = [n for n in range(2, 65) if 100 % n == 0]
    says("With #, #, #, #, #, # or # processes", *divisors)
    says("draws # normal numbers", 256 * 20)
    says("it draws # bits", 256 * 784)
    says("is full at # billion", Fraction(80, 16))
    says("machines has # rounds", 2 * (64 - 1))
    inside, between = 8 - 1, 2 * (8 - 1)
    says("there are # rounds: # in", inside + between + inside, inside)
    says("pieces, # in which", between)
    says("numbers takes # MB", 60_000 * 784 * 4 / 1e6)


CONV = VAEConfig(
    128, (128, 256, 512, 1024), network="conv", shape=(3, 64, 64), n_pixels=12288
)


@pytest.fixture(scope="module")
def networks() -> dict[str, tuple[int, int]]:
    """Parameters and operations an image of the dense and the convolutional network."""
    found = {}
    for name, config in (("dense", VAEConfig(20, (400,))), ("conv", CONV)):
        model = VAE(config)
        with FlopCounterMode(display=False) as counter:
            output = model(torch.rand(2, config.n_pixels))
            elbo(output.log_p_x_given_z, output.kl).sum().backward()
        size = sum(p.numel() for p in model.parameters())
        found[name] = size, counter.get_total_flops() // 2
    return found


@pytest.mark.book
def test_operations_of_an_image_are_those_that_the_text_counts(networks):
    (size, work), (conv_size, conv_work) = networks.values()
    weights, first = 2 * 400 * 784 + 400 * 40 + 20 * 400, 784 * 400
    assert 6 * weights - 2 * first == work
    says("network above has # weights", weights)
    says("and # of them lie", first)
    says("6\\cdot # - 2\\cdot # = #$ operations", weights, first, work)
    says("network above needs $#$ of them", float(work))
    says("It has $P = #$", conv_size)
    says("parameters, # times as many", conv_size / size)
    says("image takes $#$ operations, # times", float(conv_work), conv_work / work)
    sizes = (32, 16, 8, 4)  # of the picture behind each convolution
    channels = zip((3, 128, 256, 512), CONV.hidden_dims, sizes, strict=True)
    one_way = sum(9 * a * b * size**2 for a, b, size in channels)
    dense = 3 * 128 * 1024 * 4 * 4
    image = 9 * 3 * 128 * 32**2  # what no gradient is taken of
    assert 6 * (2 * one_way + dense) - 2 * image == conv_work


@pytest.mark.book
def test_plans_in_the_text_follow_from_their_assumptions(networks):
    (size, work), (conv_size, conv_work) = networks.values()
    t0 = 1e-3 * says("all of them $t_0 = #$ ms")
    record = json.loads((BOOK / "performance.json").read_text("utf-8"))
    measured = record["seconds_per_epoch"]["ours"] / record["task"]["images"]
    cores, table = record["environment"]["threads"], "| $#$ | # µs |"
    assert cores == 2
    says(f"*measured* {table}", work / measured, 1e6 * measured)
    slow = 1e-6 * says("processor, *assumed* | $#$ | # µs")[1]
    says(f"processor, *assumed* {table}", work / slow, 1e6 * slow)
    speed = says(f"GPU, *assumed* {table} # µs |")[0]
    fast, conv = work / speed, conv_work / speed
    says(f"GPU, *assumed* {table} # µs |", speed, 1e6 * fast, 1e6 * conv)
    links = (
        says(f"{verb} $\\ell = #$ µs and $r = #$ GB/s") for verb in ("Assume", "assume")
    )
    near, far = ((1e-6 * latency, 1e9 * rate) for latency, rate in links)

    def plan(n, n_images, t1, size, link):
        return float(step_time(n, t0, t1, n_images, size, *link))

    def best(n_images, t1, size, link):
        work = n_images * t1 - 8 * size / link[1]
        return math.sqrt(max(work, 2 * link[0]) / (2 * link[0]))

    gains = []
    for name, t1, parameters in (
        ("dense", slow, size),
        ("dense", fast, size),
        ("convolutional", conv, conv_size),
    ):
        for n_images in (256, 4096):
            case = n_images, t1, parameters, near
            one, eight = (plan(n, *case) for n in (1, 8))
            pays = n_images * t1 > 2 * 8 * near[0] + 8 * parameters / near[1]
            assert pays == (eight < one)
            verdict, values = (
                ("# times as fast", [one / eight]) if pays else ("*slower*", [])
            )
            row = f"| {name} | {float(f'{1e6 * t1:.2g}'):g} µs | {n_images:,} "
            times = 1e3 * one, 1e3 * eight
            says(row + f"| # ms | # ms | {verdict} | # |", *times, *values, best(*case))
            gains.append(one / eight)
    numbers = [best(b, slow, size, near) for b in (256, 4096)]
    says("best number, about # for the", numbers[0])
    says("small batch and # for the", numbers[1])
    says("network gains # times", gains[0])
    says("small batch and # times", gains[1])
    assert gains[2] < 1, "on eight GPUs the small batch is slower"
    says("Go to the GPU* again: # times", gains[4])
    sent = 16 * near[0] + 8 * size / near[1]
    says("16\\ell + 8P/r = #$ µs", 1e6 * sent)
    says("$t_1 > #$ µs for 256", 1e6 * sent / 256)
    says("at # µs eight devices", 1e6 * sent / 256)
    says("$t_1 > #$ µs for 4,096", 1e6 * sent / 4096)
    says("assumed speed, # µs an image", 1e7 * fast)
    slow_gpus = [(b, 10 * fast, size, near) for b in (256, 4096)]
    gain = [plan(1, *case) / plan(8, *case) for case in slow_gpus]
    assert 0.98 < gain[0] < 1.02, "breaks even"
    says("them are # times as fast", gain[1])
    case = 256, 10 * conv, conv_size, near
    assert plan(1, *case) / plan(8, *case) > gains[4], (
        "slower devices gain more from each other"
    )
    says("its work grows # times", conv_work / work)
    says("what it sends only # times", conv_size / size)


@pytest.mark.book
def test_what_the_text_says_of_the_gpu_is_what_was_measured(networks):
    record = json.loads((BOOK / "gpu.json").read_text("utf-8"))["networks"]
    dense, conv = record["dense"], record["convolutional"]
    for found, (size, work) in zip((dense, conv), networks.values(), strict=True):
        for step in found["steps"]:
            assert step["parameters"] == size and step["operations_per_image"] == work
    speeds = [1e12 * found["tera_operations"] for found in (dense, conv)]
    times = [found["t1_us"] for found in (dense, conv)]
    says("GPU, *measured* | $#$ and $#$ | # µs | # µs |", *speeds, *times)
    says("$t_0$ is # ms there", dense["t0_ms"])
    says("time than one with #.", dense["steps"][0]["batch"])
    assumed = says("of them $t_0 = #$ ms")
    says(f"is {dense['t0_ms']:.1f} ms there, not #", assumed)
    assert 256 * dense["t1_us"] < 0.01 * 1e3 * dense["t0_ms"], "hardly less time"

    def gain(found, n_images):
        t0, t1 = 1e-3 * found["t0_ms"], 1e-6 * found["t1_us"]
        size = found["steps"][0]["parameters"]
        one, eight = (step_time(n, t0, t1, n_images, size, 1e-5, 1e11) for n in (1, 8))
        return float(one / eight)

    gains = [gain(found, b) for found in (dense, conv) for b in (256, 4096)]
    says("256 images # times as fast as one", gains[0])
    says("on 4,096 images # times, and", gains[1])
    says("convolutional network's # and # times", *gains[2:])
    planned = says("convolutional | 70 µs | 256 | # ms | # ms | # times")[2]
    assert gains[2] < planned / 2, "shrinks to less than half"
    assert max(gains[:2]) < 1.1, "not worth having"
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    (typed,) = [cell.source for cell in cells if cell.id == "measured"]
    exec(typed, space := {})
    for name, found in (("dense", dense), ("convolutional", conv)):
        expected = found["t0_ms"], found["t1_us"]
        assert space["measured"][name] == pytest.approx(expected, rel=0.003)


@pytest.mark.book
def test_plans_between_machines_follow_from_their_assumptions(networks):
    (size, work), (conv_size, conv_work) = networks.values()
    latency, rate = says("assume $\\ell = #$ µs and $r = #$ GB/s")
    latency, rate = 1e-6 * latency, 1e9 * rate
    speed = says("GPU, *assumed* | $#$ | # µs")[0]
    slow, fast, conv = 5e-6, work / speed, conv_work / speed
    sent, conv_sent = 8 * size / rate, 8 * conv_size / rate
    least, conv_least = 4 * latency + sent, 4 * latency + conv_sent
    says("network $8P/r$ is # ms", 1e3 * sent)
    says("4\\ell + 8P/r = #$ ms", 1e3 * least)
    says("with $B t_1 = #$ ms", 256e3 * slow)
    says("large one takes # ms and is", 4096e3 * slow)
    says("best $W$ at #.\nOn", math.sqrt((4096 * slow - sent) / (2 * latency)))
    says("even the large one takes # ms", 4096e3 * fast)
    assert 256 * slow < least < 4096 * slow and 4096 * fast < least
    assert sent / 2 > 4096 * fast, "longer to send than to compute"
    says("has $8P/r = #$ ms", 1e3 * conv_sent)
    says("small batch, # ms", 256e3 * conv)
    says("its large one, # ms", 4096e3 * conv)
    assert 256 * conv < conv_least < 4096 * conv
    star = math.sqrt((4096 * conv - conv_sent) / (2 * latency))
    says("best $W$ at #.\n:::", star)


@pytest.mark.book
def test_command_lines_in_the_text_are_understood():
    blocks = re.findall(r"```text\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        words = shlex.split(block.replace("\\\n", " "))
        launch = words[words.index("torchrun") + 1 :]
        arguments = get_args_parser().parse_args(launch)
        assert arguments.module and arguments.training_script == "vae_lib"
        assert arguments.standalone or arguments.rdzv_backend == "c10d"
        assert make_parser().parse_args(arguments.training_script_args).out
        restarts = arguments.max_restarts > 0
        assert restarts == ("TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1" in words)


def test_exercise_with_half_of_the_best_number_of_processes():
    latency = Fraction(1, 1000)
    for star in (2, 8, 32):
        work = 2 * latency * star**2

        def step(W, work=work):
            return work / W + 2 * (W - 1) * latency

        assert min(range(1, 200), key=step) == star
        ratio = step(star // 2) / step(star)
        assert ratio == Fraction(5 * star - 2, 4 * star - 2)
        assert work / star / step(star) == Fraction(star, 2 * star - 1) > 0.5
    says("it is $# = #$", ratio, float(ratio))


def test_exercise_with_a_last_batch_of_sixteen():
    sizes = [len(range(r, 16, 3)) for r in range(3)]
    weights = [Fraction(1, 3 * size) for size in sizes]
    assert sizes == [6, 5, 5] and weights[0] == Fraction(1, 18)
    assert weights[1] == Fraction(1, 15)
    factors = [Fraction(3 * size, 16) for size in sizes]
    pairs = zip(factors, weights, strict=True)
    assert all(f * weight == Fraction(1, 16) for f, weight in pairs)
    assert float(factors[0]) == 1.125 and float(factors[1]) == 0.9375
    assert torch.empty(0).mean().isnan() and torch.empty(0).sum() == 0
