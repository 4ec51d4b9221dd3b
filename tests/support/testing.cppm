/// What tests and benchmarks of several rooms share.
export module shoal.testing;
export import :machine;     // on_machine: a coroutine on the real machine, bounded in time
export import :simulation;  // simulation: hosts, network and time from a seed
