"""An optimizer of one's own steps the stacked weights of all members; tasks name it, and torch trains them."""

FILE = '''
from metagan_rl.optimizers import OPTIMIZERS, Optimizer, OptimizerKind, pick
from metagan_rl.tasks import Base, register_suite
from tiny_suite import tiny

class Lion(Optimizer):
    """Steps by the sign of an average (Chen et al. 2023, arXiv:2302.06675)."""

    def __init__(self, told):
        self.told = told

    def step(self, update, weights, gradient, kept, members=None):
        lr, beta1, beta2 = (pick(each, members) for each in (self.told.lr, self.told.beta1, self.told.beta2))
        average = kept[0]
        weights -= lr * gradient.lerp(average, beta1).sign()
        average.lerp_(gradient, 1 - beta2)

OPTIMIZERS.register("lion", OptimizerKind(Lion))
register_suite(tiny(base=Base(batch_size=16, optimizer="lion")))
'''


def test_from_import_to_a_row_and_the_report(desk):
    desk.write("lion.py", FILE)
    desk.run("benchmark", "--import", "lion.py", "--suite", "tiny", "--split", "test", "--schedulers", "constant")
    assert all(row["error"] is None and row["engine"] == "torch" for row in desk.rows())
    desk.report()


def test_a_name_that_is_none_is_refused_and_all_are_listed(desk):
    desk.write("lion.py", FILE.replace('optimizer="lion"', 'optimizer="tiger"'))
    told = desk.run("benchmark", "--import", "lion.py", "--suite", "tiny", "--schedulers", "constant", status=2)
    assert "it must be one of adam, sgd, rmsprop, prodigy, d-adaptation, schedule-free, tiada, lion" in told
