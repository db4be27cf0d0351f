"""A kind of networks is a function from what a task says of its networks to a generator and a discriminator."""

FILE = '''
import torch
from metagan_rl.networks import StackedMLP, register_networks
from metagan_rl.tasks import Networks, register_suite
from tiny_suite import tiny

class Residual:
    """G: noise plus what two layers make of it, for data of as many columns as there is noise."""

    has_backward = False
    has_penalty_backward = False

    def __init__(self, dim, width):
        self.inner = StackedMLP([dim, width, dim], "tanh")
        self.shapes = self.inner.shapes

    def initial(self, rng):
        return self.inner.initial(rng)

    def __call__(self, weights, inputs):
        return inputs + self.inner(weights, inputs)

def build(networks, dim):
    return Residual(dim, networks.width), StackedMLP([dim, networks.width, 1], networks.activation)

register_networks("residual", build)
register_suite(tiny(networks=Networks(latent_dim=2, width=8, depth=1, kind="residual")))
'''


def test_from_import_to_a_row_and_the_report(desk):
    desk.write("residual.py", FILE)
    names = ("--schedulers", "constant,r3gan", "--split", "test")
    desk.run("benchmark", "--import", "residual.py", "--suite", "tiny", *names)
    assert {row["scheduler"] for row in desk.rows() if row["error"] is None} == {"constant", "r3gan"}
    assert "residual" in desk.run("--import", "residual.py", "list", "networks")


def test_a_kind_that_is_nothing_offers_the_nearest(desk):
    desk.write("residual.py", FILE.replace('kind="residual"', 'kind="residul"'))
    told = desk.run("benchmark", "--import", "residual.py", "--suite", "tiny", "--schedulers", "constant", status=2)
    assert "did you mean residual?" in told and "Traceback" not in told
