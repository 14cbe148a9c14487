"""The original's published baseline as a plant: fixed replicas on a real cluster, items of 0.2 s, seconds to finish.

Fitted to the table (least squares of the relative errors: 3 % in the root mean square, 6.4 % at most): an item takes
0.196 s whatever the number of replicas, the first replica works after 6 s, and each further one starts 1 s after the
one before. So it is not that replicas slow each other; they come one by one, and the last ones come too late to help.
"""

from __future__ import annotations

from collections.abc import Mapping

from simulator.distributions import Constant
from simulator.plant import PlantModel

ITEM_SECONDS = 0.196
PLANT = PlantModel(startup=Constant(6.0), launch_interval=1.0)
REPLICAS = (1, 2, 3, 4, 5, 6, 8, 10, 12)
SECONDS: Mapping[int, tuple[float, ...]] = {
    327: (71.9, 40.1, 28.1, 23.3, 21.0, 19.5, 18.8, 17.3, 16.1),
    800: (165.7, 86.8, 58.2, 45.1, 37.8, 33.9, 30.4, 26.7, 23.9),
}
"""Number of items: mean seconds to finish with each of REPLICAS."""
