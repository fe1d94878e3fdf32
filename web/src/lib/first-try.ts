/** A first edit by one click: the drawn bear is learned, and then edited. */
import { ask, client } from "../api/client";
import { storeImage } from "../api/upload";
import { DRAWN, drawnReferences, drawnSource } from "./drawn";

/** The part of the address that lets the page of the training continue with the edit. */
export const THEN_EDIT = "then=edit";

/** Store the drawn references and start their training. Returns the id of its job. */
export async function learnDrawnBear(): Promise<string> {
  const references = await Promise.all((await drawnReferences()).map(storeImage));
  const subject = await ask(
    client.POST("/v1/subjects", {
      body: {
        name: "Bruno",
        class_noun: "bear",
        token: "sks",
        not_a_person: false,
        references: references.map((image) => image.id),
        metadata: DRAWN,
      },
    }),
  );
  const path = { subject_id: subject.id };
  const job = await ask(
    client.POST("/v1/subjects/{subject_id}/priors", {
      params: { path },
      body: { previews: 4 },
    }),
  );
  return job.id;
}

/** Store the drawn test image and start an edit of it. Returns the id of its job. */
export async function editDrawnBear(subjectId: string): Promise<string> {
  const image = await storeImage(await drawnSource());
  const body = { subject_id: subjectId, image_id: image.id, prompt: "a photo of sks bear jumping", seed: 0 };
  return (await ask(client.POST("/v1/edits", { body: body as never }))).id;
}
