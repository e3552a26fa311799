const byId = (id) => document.getElementById(id);
const api = (path, method = "GET") =>
  fetch(`/api/v1${path}`, { method }).then((reply) => (reply.ok ? reply.json() : Promise.reject(reply.status)));

const KINDS = { succeeded: "good", ready: "good", failed: "bad", quarantined: "bad", running: "busy", leased: "busy" };
const gibibytes = (bytes) => (bytes ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : "–");
const seconds = (value) => (value < 120 ? `${value.toFixed(1)} s` : `${Math.round(value / 60)} min`);

function row(cells) {
  const line = document.createElement("tr");
  for (const cell of cells) {
    const box = document.createElement("td");
    if (cell instanceof Node) box.append(cell);
    else if (Array.isArray(cell)) [box.textContent, box.className] = cell;
    else box.textContent = cell;
    line.append(box);
  }
  return line;
}

function jobRow(job) {
  const end = job.finished_s ?? Date.now() / 1000;
  let action = "";
  if (["queued", "leased", "running"].includes(job.state)) {
    action = document.createElement("button");
    action.type = "button";
    action.textContent = "Cancel";
    action.addEventListener("click", () => api(`/jobs/${encodeURIComponent(job.id)}/cancel`, "POST").then(refresh));
  }
  const name = document.createElement("code");
  name.textContent = job.id.slice(0, 8);
  name.title = job.error?.message ?? job.id;
  return row([
    name,
    [job.state, KINDS[job.state] ?? ""],
    new Date(job.created_s * 1000).toLocaleTimeString(),
    job.started_s ? seconds(end - job.started_s) : "–",
    action,
  ]);
}

const workerRow = (worker) =>
  row([
    worker.id,
    [worker.state, KINDS[worker.state] ?? ""],
    worker.device.name ?? "–",
    gibibytes(worker.ram_bytes),
    String(worker.num_restarts),
  ]);

byId("no-editor").hidden = location.pathname !== "/";
let isPaused = false;

async function refresh() {
  const pill = byId("health");
  try {
    const [stats, page] = await Promise.all([api("/system/stats"), api("/jobs?limit=20")]);
    const isReady = stats.workers.some((worker) => worker.state === "ready");
    isPaused = stats.queue.paused;
    pill.textContent = isPaused ? "paused" : isReady ? "ready" : "starting";
    pill.className = `pill ${isPaused || !isReady ? "busy" : "good"}`;
    byId("pending").textContent = stats.queue.pending;
    byId("running").textContent = stats.queue.running;
    byId("ended").textContent = page.total - stats.queue.pending - stats.queue.running;
    byId("pause").textContent = isPaused ? "Resume" : "Pause";
    byId("workers").replaceChildren(...stats.workers.map(workerRow));
    byId("jobs").replaceChildren(...page.jobs.map(jobRow));
    byId("no-jobs").hidden = page.total > 0;
    byId("machine").textContent = `${gibibytes(stats.system.ram_free)} of ${gibibytes(stats.system.ram_total)} memory free`;
  } catch (reason) {
    pill.textContent = reason === 401 ? "token required" : "no answer";
    pill.className = "pill bad";
  }
}

byId("pause").addEventListener("click", () => api(`/queue/${isPaused ? "resume" : "pause"}`, "POST").then(refresh));
byId("clear").addEventListener("click", () => api("/queue/clear", "POST").then(refresh));
refresh();
setInterval(refresh, 2000);
