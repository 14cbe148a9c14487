"""The simulator: the real laws and guard steer modelled plants, so that a law can be judged before it steers anything.

Law of the house: whatever decides is the code that the services run (``controller.deciding.decide``), and whatever it
sees is made by the monitor's own arithmetic (``monitor.measure``). Only the world is a model: its clock, its queue, its
replicas, its luck. Nothing here reads a clock, waits or talks to anybody; the same seed gives the same run.

``simulate(cases)`` is the library's door; ``python -m simulator`` (``asperathos simulate``) the user's.
"""

from simulator.case import Case, Knowledge, Work
from simulator.lawbook import all_laws
from simulator.plant import PlantModel
from simulator.run import Run
from simulator.simulation import simulate, simulate_one

__all__ = ["Case", "Knowledge", "PlantModel", "Run", "Work", "all_laws", "simulate", "simulate_one"]
