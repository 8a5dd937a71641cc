"""The compiled twin of the OpenSim model ``gait9dof18musc``: the same equations, a hundred times faster.

Where to look:

| file | what it holds |
|---|---|
| ``physics.py`` | ``NativePhysics``, the twin behind the interface of ``es.envs.physics`` |
| ``model.py``, ``extract.py``, ``gait9dof18musc.json`` | the model's numbers, read through OpenSim |
| ``parameters.py``, ``path_segments.py`` | constants derived from them |
| ``state.py``, ``workspace.py`` | layout of the state and of intermediate results |
| ``skeleton.py``, ``path_geometry.py``, ``thelen2003.py``, ``activation.py`` | equations: geometry, muscles |
| ``contact.py``, ``joint_limits.py``, ``dynamics.py`` | equations: other forces, motion |
| ``derivative.py`` | all of them together |
| ``runge_kutta_merson.py``, ``ros2.py``, ``step_size.py`` | the integrators |
| ``step.py``, ``observe.py`` | what Python calls once a step |
| ``arrow.py``, ``splines.py``, ``exponential.py``, ``compile.py`` | mathematics and compilation |
"""
