import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { editDrawnBear, learnDrawnBear, THEN_EDIT } from "../lib/first-try";
import { go } from "../lib/router";
import { Notice, Refusal } from "./notice";
import { ForWriters } from "./rights";

/** Learns the drawn bear and edits it, for someone without own images. */
export function TryButton() {
  const queries = useQueryClient();
  const learn = useMutation({
    mutationFn: learnDrawnBear,
    onSuccess: (jobId) => {
      void queries.invalidateQueries({ queryKey: ["subjects"] });
      go(`jobs/${jobId}?${THEN_EDIT}`);
    },
  });
  return (
    <ForWriters>
      <button type="button" disabled={learn.isPending} onClick={() => learn.mutate()}>
        {learn.isPending ? "Sending the bear ..." : "Try it with a drawn bear"}
      </button>
      <Refusal error={learn.error} />
    </ForWriters>
  );
}

/** On the page of the bear's training: says what follows, and starts the edit once the bear is learned. */
export function ThenEdit({ subjectId, isReady }: { subjectId: string; isReady: boolean }) {
  const hasStarted = useRef(false);
  const edit = useMutation({
    mutationFn: () => editDrawnBear(subjectId),
    onSuccess: (jobId) => location.replace(`#/jobs/${jobId}`),
  });
  const start = edit.mutate;
  useEffect(() => {
    if (!isReady || hasStarted.current) return;
    hasStarted.current = true;
    start();
  }, [isReady, start]);
  if (edit.error) return <Refusal error={edit.error} />;
  return (
    <Notice tone="info" title="Your first edit">
      LIPE learns the bear from four drawings. Then this page asks for an image of it jumping, and shows the
      result.
    </Notice>
  );
}
