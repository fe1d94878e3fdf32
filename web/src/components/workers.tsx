import { useQuery } from "@tanstack/react-query";
import { ask, client, type Schemas } from "../api/client";
import { useOwnKey } from "../api/own-key";
import { ago, bytes } from "../lib/words";
import { Refusal } from "./notice";

const REFRESH_MS = 10_000;
const COLUMNS = ["Worker", "State", "Kinds", "GPU", "Version", "Base model", "Priors held", "Seen"];
const BADGES = { idle: "succeeded", busy: "running", draining: "queued", lost: "failed" } as const;

function WorkerRow({ worker }: { worker: Schemas["WorkerBody"] }) {
  const memory = worker.gpu_memory_bytes ? `, ${bytes(worker.gpu_memory_bytes)}` : "";
  return (
    <tr>
      <td>{worker.name}</td>
      <td>
        <span className={`badge badge-${BADGES[worker.state]}`}>{worker.state}</span>
      </td>
      <td>{worker.kinds.join(", ")}</td>
      <td>{worker.gpu ? `${worker.gpu}${memory}` : "CPU"}</td>
      <td>{worker.version || "unknown"}</td>
      <td>{worker.base_model ?? "unknown"}</td>
      <td>{worker.adapters.length}</td>
      <td>{ago(worker.seen_at)}</td>
    </tr>
  );
}

/** The worker processes, for a key of the operator. Other keys see only what the workers serve. */
export function Workers() {
  const maySee = useOwnKey()?.scopes.includes("operator") ?? false;
  const workers = useQuery({
    queryKey: ["workers"],
    queryFn: () => ask(client.GET("/v1/workers")),
    enabled: maySee,
    refetchInterval: REFRESH_MS,
  });
  if (!maySee) return null;
  return (
    <>
      <Refusal error={workers.error} />
      {workers.data && workers.data.data.length > 0 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: keys must be able to scroll it
        <section className="table-scroll" aria-label="Workers, scrollable" tabIndex={0}>
          <table>
            <thead>
              <tr>
                {COLUMNS.map((name) => (
                  <th key={name} scope="col">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {workers.data.data.map((worker) => (
                <WorkerRow key={worker.name} worker={worker} />
              ))}
            </tbody>
          </table>
        </section>
      )}
    </>
  );
}
