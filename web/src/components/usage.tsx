import { useUsage } from "../api/own-key";
import { bytes, duration } from "../lib/words";
import { Refusal } from "./notice";

const NAMES: Record<string, string> = {
  "queued-jobs": "Jobs in the queue",
  "gpu-seconds": "Time on workers today",
  subjects: "Subjects",
  images: "Images",
  "image-bytes": "Size of the images",
  "pending-uploads": "Uploads on their way",
  "webhook-endpoints": "Webhook endpoints",
  studies: "Studies",
};

function amount(name: string, value: number): string {
  if (name === "gpu-seconds") return duration(value);
  return name === "image-bytes" ? bytes(value) : value.toLocaleString();
}

/** The project's active jobs, and how much of each quota it uses. */
export function UsageCard() {
  const { data: usage, error } = useUsage();
  return (
    <section className="card">
      <h2>Queue and quotas</h2>
      <Refusal error={error} />
      {usage && (
        <>
          <p>
            {usage.running_jobs} of at most {usage.max_running_jobs} jobs of this project run, and{" "}
            {usage.queued_jobs} {usage.queued_jobs === 1 ? "waits" : "wait"}.
          </p>
          <ul className="quotas">
            {usage.quotas.map(({ name, quota, remaining, reset_seconds: reset }) => (
              <li key={name}>
                <span id={`quota-${name}`}>{NAMES[name] ?? name}</span>
                <meter
                  aria-labelledby={`quota-${name}`}
                  max={quota}
                  value={quota - remaining}
                  high={quota * 0.9}
                  optimum={0}
                />
                <span className="hint">
                  {amount(name, quota - remaining)} of {amount(name, quota)}
                  {remaining === 0 && reset !== null ? ` · whole again in ${duration(reset)}` : ""}
                </span>
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}
