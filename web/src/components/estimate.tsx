import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { type Cost, costWords } from "../lib/estimate";

/** A value that follows `value` once that rests for a moment, so that no request is sent for each letter. */
function useRested<T>(value: T): T {
  const [rested, setRested] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setRested(value), 500);
    return () => clearTimeout(timer);
  }, [value]);
  return rested;
}

/** The time that a job, or a set of them, would take, from dry runs; or what is wrong with the request before it is sent. */
export function Estimate({
  name,
  body,
  dryRun,
}: {
  name: string;
  body: string;
  dryRun: (body: string) => Promise<Cost>;
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
  return <span className="hint">{costWords(run.data)}</span>;
}
