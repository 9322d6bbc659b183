"""The MJCF of the quadrotor: one free body without contacts, its actuators, and what there is to see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...envs.quadrotor import Quadrotor

ARM = 0.25
"""From the centre to a rotor, in the unit of position; that of the drawing of the analytic scene."""
REACTION = 0.05
"""κ, a rotor's torque about its axis by its force."""
ROTOR_HIGH = 1.0
"""Largest force of a rotor; four of them give more than the largest thrust, 3."""


def rotor_places() -> NDArray[np.float64]:
    """``(4, 3)``: x and y of the rotors in the body's axes, and the sense ±1 of their torque; front left first."""
    angle = np.pi / 4 + np.pi / 2 * np.arange(4)
    return np.stack([ARM * np.cos(angle), ARM * np.sin(angle), np.array([1.0, -1.0, 1.0, -1.0])], -1)


def mjcf(
    problem: Quadrotor,
    mass: float,
    inertia: NDArray[np.float64],
    rotors: bool,
    motor_lag: float,
    size: tuple[int, int],
) -> str:
    """The model as XML.

    One body on a free joint, ``mass`` and diagonal ``inertia`` given, gravity the problem's, Runge-Kutta of fourth
    order. ``rotors``: four actuators, each a force along the body's axis at a rotor and κ times it about the axis; else
    four at the centre of mass, the thrust and three torques about the body's axes. ``motor_lag > 0`` puts a first-order
    lag before each. Nothing touches anything.
    """
    lag = f'dyntype="filterexact" dynprm="{motor_lag}"' if motor_lag > 0 else ""
    gears = [f"0 0 1 0 0 {REACTION * spin}" for *_, spin in rotor_places()]
    if not rotors:
        gears = ["0 0 1 0 0 0", *("0 0 0 " + " ".join("1" if i == j else "0" for j in range(3)) for i in range(3))]
    sites = [f"rotor{i}" if rotors else "center" for i in range(4)]
    actuators = "\n".join(
        f'    <general site="{site}" gear="{gear}" {lag}/>' for site, gear in zip(sites, gears, strict=True)
    )
    lowest = min(0.0, problem.target[2]) - 0.5
    return f"""
<mujoco model="quadrotor">
  <option gravity="0 0 {-problem.gravity}" integrator="RK4" timestep="0.001">
    <flag autoreset="disable"/>
  </option>
  <statistic extent="6" center="0 0 0"/>
{_looks(size)}  <default><geom contype="0" conaffinity="0" mass="0"/></default>
  <worldbody>
    <light pos="1 -2 8" dir="0 0.2 -1" directional="true" diffuse="0.5 0.5 0.5" castshadow="true"/>
    <geom type="plane" size="8 8 0.1" pos="0 0 {lowest}" material="tiles"/>
    <site name="target" type="sphere" size="0.09" pos="{" ".join(map(str, problem.target))}" rgba="0.06 0.57 0.41 0.6"/>
    <body name="quadrotor">
      <freejoint/>
      <inertial pos="0 0 0" mass="{mass}" diaginertia="{" ".join(map(str, inertia))}"/>
      <site name="center" size="0.001" rgba="0 0 0 0"/>
      <geom type="ellipsoid" size="0.08 0.06 0.035" material="frame"/>
{_arms()}
    </body>
  </worldbody>
  <actuator>
{actuators}
  </actuator>
</mujoco>"""


def _looks(size: tuple[int, int]) -> str:
    """How it is drawn: a narrow view as in the analytic scene, a pale sky, a tiled floor."""
    return f"""  <visual>
    <global fovy="28" offwidth="{size[0]}" offheight="{size[1]}"/>
    <quality shadowsize="2048" offsamples="4"/>
    <headlight ambient="0.42 0.42 0.42" diffuse="0.2 0.2 0.2" specular="0 0 0"/>
    <map znear="0.02" zfar="20"/>
  </visual>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1="0.984 0.984 0.976" rgb2="0.90 0.93 0.96"
      width="64" height="384"/>
    <texture name="tiles" type="2d" builtin="checker" rgb1="0.80 0.82 0.85" rgb2="0.74 0.76 0.80"
      width="512" height="512"/>
    <material name="tiles" texture="tiles" texrepeat="16 16" texuniform="false" reflectance="0.06"/>
    <material name="frame" rgba="0.17 0.19 0.23 1" specular="0.4" shininess="0.5"/>
    <material name="front" rgba="0.15 0.41 0.77 0.75"/>
    <material name="rear" rgba="0.56 0.58 0.64 0.75"/>
  </asset>
"""


def _arms() -> str:
    """Arms, hubs and rotor discs; the front ones blue, as in the analytic scene: that is how the yaw is seen."""
    parts = []
    for i, (x, y, _) in enumerate(rotor_places()):
        material = "front" if x > 0 else "rear"
        parts += [
            f'<site name="rotor{i}" pos="{x} {y} 0" size="0.001" rgba="0 0 0 0"/>',
            f'<geom type="capsule" fromto="0 0 0 {x} {y} 0" size="0.014" material="frame"/>',
            f'<geom type="cylinder" pos="{x} {y} 0.02" size="0.02 0.02" material="frame"/>',
            f'<geom type="cylinder" pos="{x} {y} 0.04" size="0.15 0.004" material="{material}"/>',
        ]
    return "\n".join("      " + part for part in parts)
