import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { Schemas } from "../api/client";
import { duration } from "../lib/words";

/** A value that follows `value` once that rests for a moment, so that no request is sent for each letter. */
function useRested<T>(value: T): T {
  const [rested, setRested] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setRested(value), 500);
    return () => clearTimeout(timer);
  }, [value]);
  return rested;
}

/** The time that a job would take, from a dry run; or what is wrong with the request before it is sent. */
export function Estimate({
  name,
  body,
  dryRun,
}: {
  name: string;
  body: string;
  dryRun: (body: string) => Promise<Schemas["DryRunBody"]>;
}) {
  const rested = useRested(body);
  const run = useQuery({
    queryKey: ["dry-run", name, rested],
    queryFn: () => dryRun(rested),
    retry: false,
    enabled: rested !== "",
  });
  if (rested === "" || run.isPending) return null;
  if (run.error) return <span className="field-error">{run.error.message}</span>;
  const { seconds, position } = run.data;
  return (
    <span className="hint">
      {seconds === null
        ? "The first job of its kind: the time is not known yet."
        : `Takes about ${duration(seconds)} of work.`}
      {position !== null && position > 1 ? ` ${position - 1} of your jobs come first.` : ""}
    </span>
  );
}
