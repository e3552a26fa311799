"""One running job: which nodes it needs, which may start, and what becomes of their results. Demand flows from the
targets up, values flow down; both walks are loops over work lists, so depth costs nothing."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import Any

from engine.core.digest import digest_bytes
from engine.core.errors import AtelierError, NodeError
from engine.core.ids import Address, NodeId
from engine.execution.artifact_cache import Artifact
from engine.execution.desk import ASYNC_LANE, Desk, Seat
from engine.execution.events import JobArrived
from engine.execution.expansion import nodes_downstream
from engine.execution.instructions import InterruptNode, LoadArtifact, NodePlace, Report, StoreArtifact
from engine.execution.node_run import NEAR_OUTPUT, NodeRun, NodeState, split_links
from engine.execution.story import Story
from engine.graph.fingerprint import addresses, never_equal
from engine.graph.graph import GraphNode, Link
from engine.graph.schema import NodeSpec

__all__ = ["JobRun"]


class JobRun:
    """The state of one job. Methods put instructions on the desk; `outcome` "" means the job still advances."""

    def __init__(self, arrived: JobArrived, desk: Desk) -> None:
        self.id = arrived.job
        self.graph = arrived.graph
        self.hidden = arrived.hidden
        self.specs: dict[str, NodeSpec] = dict(arrived.specs)
        self.fingerprints: dict[NodeId, Any] = dict(arrived.fingerprints)
        self.outcome = ""
        self.error: AtelierError | None = None
        self.story = Story(arrived.job)
        # All nodes of the job, generated ones included; `runs` holds those that were looked at.
        self.nodes: dict[NodeId, GraphNode] = dict(arrived.graph.nodes)
        self.positions: dict[NodeId, int] = {node: index for index, node in enumerate(arrived.graph.nodes)}
        self.parents: dict[NodeId, tuple[NodeRun, NodeId]] = {}
        self.runs: dict[NodeId, NodeRun] = {}
        self.states: dict[NodeState, int] = dict.fromkeys(NodeState, 0)
        self.ready: dict[str, list[tuple[int, int, NodeId]]] = {}
        self.targets: dict[NodeId, None] = dict.fromkeys(arrived.targets)
        self.open_targets: set[NodeId] = set(self.targets)
        self.ran: dict[NodeId, None] = {}
        self.served: dict[NodeId, None] = {}
        self.known_cached: dict[NodeId, None] = {}
        self.outputs: dict[NodeId, Mapping[str, list[Any]]] = {}
        self._desk = desk
        # Nodes whose address occurs once: what promises nothing, and everything below it.
        self.once: set[NodeId] = set()
        self.addresses: dict[NodeId, Address] = addresses(
            arrived.graph, arrived.specs, arrived.fingerprints, once=self.once_address
        )
        self.once |= nodes_downstream(self.nodes, self.once)

    # ---------------------------------------------------------------- questions

    @property
    def num_in_flight(self) -> int:
        """Nodes the loop still has to report on."""
        return self.states[NodeState.RUNNING] + self.states[NodeState.ASKING]

    @property
    def is_advancing(self) -> bool:
        """Whether new nodes may start."""
        return not self.outcome

    @property
    def is_over(self) -> bool:
        """Whether the job can be finished: everything asked for is there, or it stopped and nothing runs any more."""
        return self.num_in_flight == 0 and (bool(self.outcome) or not self.open_targets)

    @property
    def is_busy(self) -> bool:
        """Whether something that is under way can still move the job."""
        states = self.states
        return self.num_in_flight > 0 or states[NodeState.READY] > 0 or states[NodeState.LOADING] > 0

    def run_of(self, node: NodeId) -> NodeRun:
        """The state of a node. Raises NodeError when the job has no such node or its type is unknown."""
        run = self.runs.get(node)
        return run if run is not None else self._open_run(node)

    def once_address(self, node: NodeId) -> Address:
        """An address no other node of any job has."""
        self.once.add(node)
        return Address(digest_bytes(b"once", self.id.encode(), node.encode("utf-8", "surrogatepass")))

    # ---------------------------------------------------------------- life of the job

    def begin(self) -> None:
        """Report what is cached already and ask for the targets."""
        desk = self._desk
        cache = desk.cache
        cache.open_job(self.id, self.graph, self.addresses.values())
        if not cache.is_off:
            self.known_cached = {node: None for node in self.nodes if cache.holds(self.addresses[node])}
        self.report("nodes_cached", {"nodes": list(self.known_cached)})
        self._note_cached()
        for target in self.targets:
            if not self.is_advancing:
                return
            self.demand_or_fail(target)

    def fail(self, error: AtelierError) -> None:
        """Stop with an error; running nodes are interrupted. The first reason to stop counts."""
        self.stop("cancelled" if error.code == "cancelled" else "failed", error)

    def stop(self, outcome: str, error: AtelierError | None = None) -> None:
        """Start nothing new and interrupt what runs."""
        if not self.is_advancing:
            return
        self.outcome = outcome
        self.error = error if outcome == "failed" else None
        self.ready.clear()
        for run in self.runs.values():
            if run.state is NodeState.RUNNING:
                self._desk.instructions.append(InterruptNode(self.id, run.id))

    def close(self) -> None:
        """Let go of everything the job holds."""
        desk = self._desk
        for run in self.runs.values():
            desk.give_up(run.address, run)
            if run.artifact is not None:
                desk.cache.unpin(run.address, run.artifact)
                run.artifact = None
                self.set_state(run, NodeState.RELEASED)
        for node in self.once:
            desk.cache.discard(self.addresses[node])
        self.outcome = self.outcome or "succeeded"
        desk.cache.close_job(self.id, is_complete=self.outcome == "succeeded")
        self.story.outcome = self.outcome

    # ---------------------------------------------------------------- demand: from consumers to sources

    def demand_or_fail(self, node: NodeId) -> None:
        """`demand`, where an error fails the job."""
        try:
            self.demand([self.run_of(node)])
        except NodeError as error:
            self.fail(error)

    def start_over(self, run: NodeRun) -> None:
        """A node that waited for a value from elsewhere has to see to it itself."""
        if self.is_advancing:
            self.set_state(run, NodeState.IDLE)
            self.demand_or_fail(run.id)

    def demand(self, stack: list[NodeRun]) -> None:
        """See to it that these nodes get their values, and the nodes they need theirs. Raises NodeError."""
        while stack:
            run = stack.pop()
            if run.state.is_startable and not self.serve_from_elsewhere(run):
                run.wanted.clear()
                run.has_asked = False
                run.ui, run.cost_s = None, 0.0
                self.set_state(run, NodeState.WAITING)
                links = (*run.strong.values(), *run.lazy.values(), *run.raw.values())
                self.hold(run, (link.node for link in links if link.node in self.nodes))
                self.depend(run, [link.node for link in run.strong.values()], stack)

    def hold(self, run: NodeRun, sources: Iterable[NodeId]) -> None:
        """Keep the values of these nodes until `run` is done."""
        for source in dict.fromkeys(sources):
            held = self.run_of(source)
            held.holders += 1
            run.held.append(held)

    def depend(self, run: NodeRun, sources: Iterable[NodeId], stack: list[NodeRun]) -> None:
        """Make `run` wait for these nodes; those that have to be started are put on `stack`."""
        for node in dict.fromkeys(sources):
            source = self.run_of(node)
            self._shorten_distance(source, run.distance + 1)
            if source.state is NodeState.DONE:
                continue
            run.missing += 1
            source.waiters.append(run)
            if source.state.is_startable:
                stack.append(source)
        if not run.missing and run.state is NodeState.WAITING:
            self._make_ready(run)

    def _shorten_distance(self, run: NodeRun, distance: int) -> None:
        stack = [(run, distance)]
        while stack:
            run, distance = stack.pop()
            if distance >= run.distance:
                continue
            run.distance = distance
            if run.state is NodeState.READY:
                self._offer(run)
            stack.extend((held, distance + 1) for held in run.held)

    def serve_from_elsewhere(self, run: NodeRun) -> bool:
        """Take the value from memory, ask for it from disk, or wait for the equal node that is at work."""
        desk = self._desk
        if desk.cache.is_off:
            return False
        seat = Seat(self, run)
        artifact = desk.cache.get(run.address)
        if artifact is not None:
            desk.cache.pin(run.address, artifact)
            self.serve(run, artifact)
        elif run.address in desk.cache.disk:
            self.set_state(run, NodeState.LOADING)
            if run.address not in desk.loads:
                desk.instructions.append(LoadArtifact(run.address))
            desk.loads.setdefault(run.address, []).append(seat)
        elif run.address in desk.claims:
            claim = desk.claims[run.address]
            self._check_not_own_offspring(run, claim.owner.run)
            self.set_state(run, NodeState.JOINING)
            claim.waiters.append(seat)
        else:
            return False
        return True

    def _check_not_own_offspring(self, run: NodeRun, owner: NodeRun) -> None:
        parent = run.parent
        while parent is not None:
            if parent is owner:
                raise NodeError(
                    f"Node {owner.id} ({owner.node.type}) expands into a node equal to itself, without end.",
                    code="endless_expansion",
                    hint="Change an input of the generated node, or end the loop.",
                    node=owner.id,
                )
            parent = parent.parent

    # ---------------------------------------------------------------- values: from sources to consumers

    def serve(self, run: NodeRun, artifact: Artifact) -> None:
        """Take a value that was there already or made elsewhere. The caller has pinned it."""
        is_news = run.id not in self.ran and run.id not in self.served
        if is_news and (run.id in self.targets or run.id not in self.known_cached):
            self.report("node_finished", {**run.place_data(), "ui": artifact.ui, "cached": True})
            if artifact.ui is not None:
                self.outputs[run.id] = artifact.ui
        if is_news:
            self.served[run.id] = None
        self._settle_later(run, artifact)

    def commit(self, run: NodeRun, outputs: tuple[list[Any], ...]) -> None:
        """The node made its values: keep them, and serve whoever waited for equal ones."""
        desk = self._desk
        artifact = desk.cache.artifact(outputs, run.ui, run.cost_s)
        desk.cache.put(run.address, artifact)
        if not run.is_once and desk.cache.is_worth_storing(run.address, artifact):
            desk.instructions.append(StoreArtifact(run.address, outputs, run.ui, run.cost_s))
        if run.parent is not None:
            run.parent.cost_s += run.cost_s
        self._settle_later(run, artifact)
        claim = desk.claims.get(run.address)
        if claim is None or claim.owner.run is not run:
            return
        del desk.claims[run.address]
        for seat in claim.waiters:
            if seat.job.is_advancing:
                desk.cache.pin(run.address, artifact)
                seat.job.serve(seat.run, artifact)

    def _settle_later(self, run: NodeRun, artifact: Artifact) -> None:
        run.artifact = artifact
        self.set_state(run, NodeState.DONE)
        self._desk.settled.append(Seat(self, run))

    def settle(self, run: NodeRun) -> list[NodeRun]:
        """Tell the consumers that a node is done; return expanded ones that have all they waited for."""
        waiters, run.waiters = run.waiters, []
        fulfilled = []
        for waiter in waiters:
            waiter.missing -= 1
            if waiter.missing or not self.is_advancing:
                continue
            if waiter.state is NodeState.EXPANDED:
                fulfilled.append(waiter)
            else:
                self._make_ready(waiter)
        self.let_go(run)
        self.open_targets.discard(run.id)
        if not run.holders:
            self._release(run)
        return fulfilled

    def let_go(self, run: NodeRun) -> None:
        """The node needs the values of its sources no more."""
        held, run.held = run.held, []
        for source in held:
            source.holders -= 1
            if not source.holders:
                self._release(source)

    def _release(self, run: NodeRun) -> None:
        if run.artifact is not None and not run.is_kept:
            self._desk.cache.unpin(run.address, run.artifact)
            run.artifact = None
            self.set_state(run, NodeState.RELEASED)

    def values_of(self, link: Link) -> list[Any]:
        """The values of a linked output of a node that is done; one None where the node gave no such output."""
        artifact = self.runs[link.node].artifact
        assert artifact is not None, "asked for a value before its node was done"
        return artifact.outputs[link.slot] if 0 <= link.slot < len(artifact.outputs) else [None]

    # ---------------------------------------------------------------- bookkeeping

    def next_ready(self, lane: str) -> NodeRun | None:
        """Take the best node that waits for a place on this lane."""
        waiting = self.ready.get(lane, [])
        while waiting:
            run = self.runs[heapq.heappop(waiting)[2]]
            if run.state is NodeState.READY:
                return run
        return None

    def _make_ready(self, run: NodeRun) -> None:
        self.set_state(run, NodeState.READY)
        self._offer(run)

    def _offer(self, run: NodeRun) -> None:
        lane = ASYNC_LANE if run.spec.is_async else run.spec.lane
        heapq.heappush(self.ready.setdefault(lane, []), (run.priority, run.position, run.id))

    def set_state(self, run: NodeRun, state: NodeState) -> None:
        """Move a node on, and note it in the story."""
        before = run.state
        self.story.add(self._desk.step, run.node.id, before, state)
        self.states[before] -= 1
        self.states[state] += 1
        run.state = state

    def report(self, kind: str, data: Mapping[str, Any]) -> None:
        """Put an entry for the job's event log on the desk."""
        self._desk.instructions.append(Report(self.id, kind, data))

    def keep_generated(self, parent: NodeRun, found: Iterable[Address]) -> None:
        """Tell the cache which addresses stem from a node of the graph."""
        origin = parent.place.real
        self._desk.cache.add_generated(self.id, origin, self.nodes[origin].type, found)

    def _note_cached(self) -> None:
        table = self._desk.signatures
        for node_id in self.known_cached:
            node = self.nodes[node_id]
            if table.address(node) != self.addresses[node_id] and node.type in self.specs:
                table.remember(node, self.specs[node.type], self.addresses, self.fingerprints)

    def _open_run(self, node_id: NodeId) -> NodeRun:
        node = self.nodes.get(node_id)
        if node is None:
            raise NodeError(f"There is no node {node_id!r}.", code="missing_node", hint="Connect the input again.")
        spec = self.specs.get(node.type)
        if spec is None:
            raise NodeError(f"Node type {node.type!r} is not known here.", code="unknown_node_type", node=node_id)
        parent, display = self.parents.get(node_id, (None, node_id))
        place = (
            NodePlace(node_id, node_id, None, node_id)
            if parent is None
            else NodePlace(node_id, display, parent.id, parent.place.real)
        )
        strong, lazy, raw = split_links(node, spec)
        is_once = node_id in self.once
        is_kept = spec.is_output_node or spec.is_volatile or (is_once and never_equal(self.fingerprints.get(node_id)))
        run = NodeRun(
            node, spec, place, self.addresses[node_id], self.positions[node_id], is_once, is_kept, parent,
            strong, lazy, raw, distance=0 if spec.is_output_node else NEAR_OUTPUT,
        )  # fmt: skip
        self.runs[node_id] = run
        self.states[NodeState.IDLE] += 1
        return run
