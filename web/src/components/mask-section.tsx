import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { ask, client, type Image, type Subject } from "../api/client";
import { useImage, useNewestEdits } from "../api/queries";
import { MaskDrawing } from "../lib/mask";
import { takeMask } from "../lib/mask-image";
import { Choice } from "./fields";
import { FoundPicture, FoundWords, useFoundMask, type Wanted } from "./found-mask";
import { MaskEditor } from "./mask-editor";
import { Refusal } from "./notice";
import { whyMissing } from "./picture";

const WHO = [
  { value: "found", text: "LIPE finds it" },
  { value: "drawn", text: "I draw it" },
] as const;

/** Where the drawing starts: the mask that an earlier edit found or was given. */
export type MaskStart = { kind: "edit"; id: string } | { kind: "image"; id: string } | null;

const ROOM = 0.1; // share of the shorter side: what a found mask grows by, so that a new pose has room

interface MaskSectionProps {
  wanted: Wanted;
  subject: Subject | undefined;
  drawing: MaskDrawing | null;
  start: MaskStart;
  onDrawing: (drawing: MaskDrawing | null) => void;
}

async function maskUrl(start: NonNullable<MaskStart>): Promise<string | undefined> {
  if (start.kind === "image") {
    const path = { image_id: start.id };
    return (await ask(client.GET("/v1/images/{image_id}", { params: { path } }))).url;
  }
  const edit = await ask(client.GET("/v1/edits/{edit_id}", { params: { path: { edit_id: start.id } } }));
  return edit.results.find((result) => result.edit_mask)?.edit_mask?.url;
}

async function drawingOf(image: Image, start: MaskStart): Promise<MaskDrawing> {
  const drawing = new MaskDrawing(image.width, image.height);
  const url = start ? await maskUrl(start) : undefined;
  if (url) await takeMask(drawing, url);
  return drawing;
}

/** Who decides what may change: the method, or a mask that the person draws over the image. */
export function MaskSection({ wanted, subject, drawing, start, onDrawing }: MaskSectionProps) {
  const { imageId } = wanted;
  const queries = useQueryClient();
  const stored = useImage(imageId);
  const image = stored.data;
  const hasStarted = useRef(false);
  const found = useFoundMask(wanted, image, !drawing && (!start || hasStarted.current));
  const newest = useNewestEdits((edits) => edits.find((edit) => edit.image_id === imageId)?.id).data;
  const begin = useMutation({
    mutationFn: (from: MaskStart) => drawingOf(image as Image, from),
    onSuccess: onDrawing,
  });
  const { mutate } = begin;
  useEffect(() => {
    if (!image || !start || hasStarted.current) return;
    hasStarted.current = true;
    mutate(start);
  }, [image, start, mutate]);
  if (stored.isError) return <div className="picture missing picked">{whyMissing(stored.error)}</div>;
  if (!image) return <div className="picture loading picked" />;
  const correct = () => {
    const corrected = new MaskDrawing(image.width, image.height);
    if (found.drawing && !found.drawing.isEmpty) {
      corrected.replace(found.drawing.cells);
      corrected.grow(Math.round(ROOM * Math.min(image.width, image.height)));
    }
    onDrawing(corrected);
  };
  return (
    <div className="mask-section">
      {!drawing && (
        <FoundPicture
          image={image}
          drawing={found.drawing}
          onExpired={() => void queries.invalidateQueries({ queryKey: ["image", imageId] })}
        />
      )}
      <Choice
        label="What may change"
        value={drawing ? "drawn" : "found"}
        options={WHO}
        onChange={(who) => (who === "drawn" ? correct() : onDrawing(null))}
        hint={
          drawing
            ? "Only what is marked may change: the subject, and the place where it will be."
            : "LIPE finds the subject and where it will be. Draw it if that goes wrong."
        }
      />
      {!drawing && subject && <FoundWords found={found} subject={subject} />}
      {!drawing && found.drawing && !found.drawing.isEmpty && (
        <button type="button" onClick={correct}>
          Correct this mask
        </button>
      )}
      {drawing && (
        <>
          {newest && (
            <button
              type="button"
              disabled={begin.isPending}
              onClick={() => begin.mutate({ kind: "edit", id: newest })}
            >
              Take the mask of the last edit of this image
            </button>
          )}
          <MaskEditor drawing={drawing} url={image.url} onChange={() => onDrawing(drawing)} />
        </>
      )}
      <Refusal error={begin.error} />
    </div>
  );
}
