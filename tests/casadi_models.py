"""Optimal control problems written by hand in CasADi, sharing no code with the package: what tracing must reproduce.

Each is derived anew from the equations (rotation matrices multiplied out by CasADi, loops over agents and pairs), goes
through Opti rather than nlpsol, and has a Runge-Kutta step of its own, in which the cost is one more state.
"""

import math

import casadi as ca
import numpy as np


class Model:
    """min ∫ L + G(z(T)) with u held over T / steps; ``solve`` returns the cost, z ``(K + 1, n)`` and u ``(K, m)``."""

    def __init__(self, n, m, horizon, steps, low, high):
        self.n, self.m, self.steps = n, m, steps
        z, u = ca.MX.sym("z", n), ca.MX.sym("u", m)
        slope = ca.Function("slope", [ca.vertcat(z, ca.MX.sym("c")), u], [ca.vertcat(self.f(z, u), self.L(z, u))])
        joint, h = ca.MX.sym("joint", n + 1), horizon / steps
        a = slope(joint, u)
        b = slope(joint + h * a / 2, u)
        c = slope(joint + h * b / 2, u)
        d = slope(joint + h * c, u)
        step = ca.Function("step", [joint, u], [joint + h * a / 6 + h * b / 3 + h * c / 3 + h * d / 6]).expand()
        self.opti = ca.Opti()
        self.u, self.joint = self.opti.variable(m, steps), self.opti.variable(n + 1, steps + 1)
        self.start = self.opti.parameter(n)
        self.opti.subject_to(self.joint[:, 0] == ca.vertcat(self.start, 0))
        for k in range(steps):
            self.opti.subject_to(self.joint[:, k + 1] == step(self.joint[:, k], self.u[:, k]))
            self.opti.subject_to(self.opti.bounded(low, self.u[:, k], high))
        self.opti.minimize(self.joint[n, steps] + self.G(self.joint[:n, steps]))
        quiet = {"ipopt.print_level": 0, "ipopt.sb": "yes", "print_time": False, "expand": True}
        self.opti.solver("ipopt", {**quiet, "ipopt.tol": 1e-10, "ipopt.max_iter": 1000})

    def solve(self, start, z=None, u=None):
        """From rest at ``start``, or from a guess ``z (K + 1, n)``, ``u (K, m)``."""
        self.opti.set_value(self.start, start)
        self.opti.set_initial(self.u, 0 if u is None else u.T)
        self.opti.set_initial(self.joint, np.r_[start, 0.0][:, None] * np.ones((1, self.steps + 1)))
        if z is not None:
            self.opti.set_initial(self.joint[: self.n, :], z.T)
        solution = self.opti.solve()
        joint = solution.value(self.joint)
        return solution.value(self.opti.f), joint[: self.n].T, solution.value(self.u).reshape(self.m, self.steps).T


class HandQuadrotor(Model):
    """arXiv:2510.00359: thrust along the third column of Rz(ψ) Ry(θ) Rx(φ)."""

    def __init__(self, steps=160, lowest_thrust=0.0):
        low, high = np.array([lowest_thrust, -2, -2, -2]), np.array([3.0, 2, 2, 2])
        super().__init__(12, 4, 4.5, steps, low, high)

    def f(self, z, u):
        (sz, sy, sx), (cz, cy, cx) = ([g(z[i]) for i in (3, 4, 5)] for g in (ca.sin, ca.cos))
        yaw = ca.vertcat(ca.horzcat(cz, -sz, 0), ca.horzcat(sz, cz, 0), ca.horzcat(0, 0, 1))
        pitch = ca.vertcat(ca.horzcat(cy, 0, sy), ca.horzcat(0, 1, 0), ca.horzcat(-sy, 0, cy))
        roll = ca.vertcat(ca.horzcat(1, 0, 0), ca.horzcat(0, cx, -sx), ca.horzcat(0, sx, cx))
        force = yaw @ pitch @ roll @ ca.vertcat(0, 0, u[0])
        return ca.vertcat(z[6:12], force / 0.5 + ca.vertcat(0, 0, -1), u[1], u[2], u[3])

    def L(self, z, u):
        return ca.exp(ca.dot(u, u) / 2)

    def G(self, z):
        miss = z - ca.vertcat(2, 2, 1, *[0] * 9)
        return 500 * ca.dot(miss, miss)


class HandBicycles(Model):
    """Five bicycles that keep out of each other's way; agent i is z[4i : 4i + 4] = (x, y, θ, v), u = (δ, a)."""

    targets = ((4.25, 4.5), (4.5, 4.25), (4.25, 4.0), (4.0, 4.25), (4.25, 4.25))

    def __init__(self, steps=60):
        high = np.array([math.pi / 2 - 0.25, 5.0] * 5)
        super().__init__(20, 10, 4.0, steps, -high, high)

    def f(self, z, u):
        rows = []
        for i in range(5):
            heading, speed, steering, push = z[4 * i + 2], z[4 * i + 3], u[2 * i], u[2 * i + 1]
            rows += [speed * ca.cos(heading), speed * ca.sin(heading), speed * ca.tan(steering) / 0.05, push]
        return ca.vertcat(*rows)

    def L(self, z, u):
        cost = ca.sumsqr(u) / 2
        for j in range(5):
            for i in range(j):
                apart = (z[4 * i] - z[4 * j]) ** 2 + (z[4 * i + 1] - z[4 * j + 1]) ** 2
                cost += 5.0 / (2 * 5) * ca.exp(-apart / 2)
        return cost

    def G(self, z):
        return 250 * sum((z[4 * i] - x) ** 2 + (z[4 * i + 1] - y) ** 2 for i, (x, y) in enumerate(self.targets))
