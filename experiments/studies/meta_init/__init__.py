"""The study of meta-initialisation: ``python -m metagan_rl.experiments.studies.meta_init``.

Starting weights are learned by joint training, Reptile, first-order and second-order MAML with equal numbers of GAN
updates, on training families and on digits 0 to 6. GANs of families and digits that no method saw are then trained from
each start, and from fresh weights, all by the same rates.
"""
