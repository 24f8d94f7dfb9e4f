# make demo: the node over a replayed drive (BAG=... TOPIC=... PARAMS=... RATE=0.5); make test:
# everything that must hold. ROS_DISTRO=jazzy|kilted: the ROS 2 wheels of make env and make demo.
# make gpu: proves and measures everything on a CUDA machine; TINY=1 tries its steps on any.
# make env PROFILE=light|paper|dev: the default profile, with the paper's networks, with all of test.
# make docs: the documentation as a site/, from docs/ and the code.
ROS_DISTRO ?= jazzy
export ROS_DISTRO
RUN = scripts/env
DEMO_OUT ?= demo_output
PYTEST_OPTIONS = -n 3 --dist worksteal

.PHONY: env demo test lint bench gpu docs clean

env:
	@scripts/build_env

demo: env
	@$(RUN) python -m objectomaly_ros.demo --out "$(DEMO_OUT)" $(if $(BAG),--bag "$(BAG)") $(if $(TOPIC),--topic $(TOPIC)) \
	  $(if $(PARAMS),--params-file "$(PARAMS)") $(if $(RATE),--rate $(RATE))

test lint bench: export PROFILE = dev
gpu: export PROFILE = paper

# The whole suite on jazzy; what touches ROS once more on kilted, which shares .venv. Tutorials, fuzz
# and planners meet the same code on both. Three processes for two cores, as tests of ROS wait much.
test: export OMP_NUM_THREADS = 1
test:
	@ROS_DISTRO=jazzy scripts/build_env
	@$(MAKE) --no-print-directory lint
	@ROS_DISTRO=kilted scripts/build_env
	@ROS_DISTRO=jazzy $(RUN) python -m pytest $(PYTEST_OPTIONS)
	@ROS_DISTRO=kilted $(RUN) python -m pytest $(PYTEST_OPTIONS) -m ros $(addprefix --ignore test/,docs fuzz consumers)

lint: env
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy

bench: env
	@$(RUN) python -m tools.benchmarks.oasc_mbp
	@$(RUN) python -m tools.benchmarks.detectors --repeat 1

# No ROS is needed.
docs:
	@PROFILE=docs scripts/build_env
	@NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict
	@echo Look at site/index.html

gpu: env
	@$(RUN) python -m tools.gpu $(if $(TINY),--tiny)

clean:
	rm -rf build install log .venv .venv-jazzy .venv-kilted demo_output gpu_output site
