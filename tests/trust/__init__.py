"""What scae promises, measured: ``make trust`` prints every figure at full size, ``.ci/run`` a reduced one."""
