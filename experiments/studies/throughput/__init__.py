"""How fast GANs train, and where the time goes: ``python -m metagan_rl.experiments.studies.throughput [--quick]``.

Four sides take turns in one process: separate GANs as anyone would write them (nn.Module, torch.optim.Adam), the torch
population, the native engine, and the same GANs in JAX (extra ``peers``). A side that is not at hand is left out, and
its column says so. What one thread does is measured in CPU time, what all cores do in seconds. Ratios are medians over
turns, so they depend little on how busy the machine is; rates do. Rows, by ``kind``:

* ``updates``: updates of GANs of one shape, on all four sides, and their share of the core's measured FMA peak.
* ``variants``: the native engine's objects for this CPU and for older ones.
* ``random``: the same when every member has controls of its own, as an exploring agent's are.
* ``single``: one environment of one GAN, stepped once per interval and measured every time.
* ``convolutional``: convolutional networks on 8x8 and 28x28 images.
* ``forms``: one convolution of 16 members, forward and both gradients, in each of its forms and grouped.
* ``environments``: the sharded vector environment, by each engine, against as many single environments around separate
  GANs under Gymnasium's ``AsyncVectorEnv``: all cores, same networks, batch, losses and metric.
* ``noise``: an interval with each stream of random numbers.
* ``scaling``: seconds against members, and against updates, with a straight line through them.
* ``profile``: shares of a vector environment's step, by each engine.
* ``agent``: recurrent PPO's update on trial-shaped rollouts, sb3-contrib's loop over time against one call.
"""
