import { useQuery } from "@tanstack/react-query";
import { BASE } from "../api/client";
import { useModels } from "../api/queries";
import { Keys } from "../components/keys";
import { Notice, Refusal } from "../components/notice";
import { UsageCard } from "../components/usage";
import { Verify } from "../components/verify";
import { Webhooks } from "../components/webhooks";
import { Workers } from "../components/workers";

const KINDS = { prior: "trainings", edit: "edits", captions: "captions", mask: "masks" } as const;
const WORDS = new Intl.ListFormat("en");
const PARTS = { database: "Database", broker: "Broker", storage: "Storage" } as const;

/** Readiness is no refusal: its answer says which part is away. */
async function readiness(): Promise<Record<keyof typeof PARTS, boolean>> {
  return (await fetch(`${BASE}/readyz`)).json();
}

function Parts() {
  const ready = useQuery({ queryKey: ["ready"], queryFn: readiness, refetchInterval: 10_000 }).data;
  if (!ready) return <p className="hint">Checking ...</p>;
  return (
    <ul className="parts">
      {Object.entries(PARTS).map(([part, name]) => {
        const isUp = ready[part as keyof typeof PARTS];
        return (
          <li key={part}>
            <span className={`badge badge-${isUp ? "succeeded" : "failed"}`}>{isUp ? "Works" : "Away"}</span>{" "}
            {name}
          </li>
        );
      })}
    </ul>
  );
}

function Models() {
  const models = useModels();
  if (models.error) return <Refusal error={models.error} />;
  if (models.data?.length === 0)
    return (
      <Notice tone="warning" title="No worker runs">
        New jobs wait until one starts: <code>lipe worker</code>.
      </Notice>
    );
  return (
    <ul className="rows">
      {models.data?.map((model) => (
        <li key={model.fingerprint + model.kinds.join()} className="row">
          <div className="row-main">
            <strong>{model.name}</strong>
            {model.miniature ? " (the miniature)" : ""}
            <p className="hint">
              {model.family} · {model.native_size} × {model.native_size} pixels ·{" "}
              {model.license ?? "no licence stated"}
            </p>
          </div>
          <span className="hint">
            {model.workers} {model.workers === 1 ? "worker" : "workers"} for{" "}
            {WORDS.format(model.kinds.map((kind) => KINDS[kind]))}
          </span>
        </li>
      ))}
    </ul>
  );
}

export default function Service() {
  return (
    <>
      <h1>Service</h1>
      <section className="card">
        <h2>Parts</h2>
        <Parts />
      </section>
      <section className="card">
        <h2>Base models and workers</h2>
        <Models />
        <Workers />
      </section>
      <UsageCard />
      <Verify />
      <Keys />
      <Webhooks />
      <p className="hint">
        For programs: the <a href="docs">API reference</a> and its <a href="openapi.json">contract</a>.
      </p>
    </>
  );
}
