import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ApiProblem, ask, client } from "../api/client";
import { useModels } from "../api/queries";
import { useUploads } from "../api/upload";
import { ConsentFields, NO_RECEIPT, receiptBody } from "../components/consent-fields";
import { DropZone } from "../components/drop-zone";
import { Choice, TextField } from "../components/fields";
import { Notice, Refusal } from "../components/notice";
import { UploadList } from "../components/upload-list";
import { go } from "../lib/router";

const MIN_REFERENCES = 3;
const MAX_REFERENCES = 20;
const CATEGORIES = [
  { value: "auto", text: "From the word" },
  { value: "animal", text: "Animal" },
  { value: "object", text: "Thing" },
  { value: "person", text: "Person" },
] as const;
const PEOPLE = /^(person|man|woman|boy|girl|child|baby|lady|guy|face|human)$/i;

/** What still stops the subject from being created, in words. */
function missing(ready: number, name: string, noun: string): string | null {
  if (ready < MIN_REFERENCES)
    return `Add ${MIN_REFERENCES - ready} more ${MIN_REFERENCES - ready === 1 ? "image" : "images"}.`;
  if (!name.trim()) return "Give the subject a name.";
  if (!noun.trim()) return "Say in one word what it is.";
  return null;
}

export function NewSubject() {
  const queries = useQueryClient();
  const nativeSize = useModels().data?.[0]?.native_size;
  const { uploads, leftOut, add, remove, isBusy } = useUploads(MAX_REFERENCES);
  const [name, setName] = useState("");
  const [noun, setNoun] = useState("");
  const [category, setCategory] = useState<(typeof CATEGORIES)[number]["value"]>("auto");
  const [receipt, setReceipt] = useState(NO_RECEIPT);
  const [notAPerson, setNotAPerson] = useState(false);
  const [wasAsked, setAsked] = useState(false);
  const [token, setToken] = useState("sks");
  const [captions, setCaptions] = useState<Record<string, string>>({});

  const ready = uploads.filter((upload) => upload.image);
  const isPerson = category === "person" || (category === "auto" && PEOPLE.test(noun.trim()));
  const create = useMutation({
    mutationFn: () =>
      ask(
        client.POST("/v1/subjects", {
          body: {
            name: name.trim(),
            class_noun: noun.trim(),
            token: token.trim(),
            consent: notAPerson ? null : receiptBody(receipt),
            not_a_person: notAPerson,
            references: ready.flatMap((upload) => (upload.image ? [upload.image.id] : [])),
            captions: ready.map((upload) => captions[upload.id]?.trim() || null),
            category: category === "auto" ? null : category,
            metadata: {},
          },
        }),
      ),
    onError: (error) => {
      if (error instanceof ApiProblem && error.document.code === "consent_required") setAsked(true);
    },
    onSuccess: (subject) => {
      void queries.invalidateQueries({ queryKey: ["subjects"] });
      go(`subjects/${subject.id}`);
    },
  });
  const problem = create.error instanceof ApiProblem ? create.error : null;
  const hasFace = uploads.some((upload) => upload.image?.faces);
  const needsConsent = isPerson || hasFace || wasAsked;
  const reason = isBusy ? "The images are on their way." : missing(ready.length, name, noun);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!reason) create.mutate();
  };

  return (
    <form className="narrow" onSubmit={submit} noValidate>
      <h1>New subject</h1>
      <section className="card">
        <h2>Images of the subject</h2>
        <p className="hint">
          Three to five are enough. Show the subject alone, whole and sharp, in different poses and places.
          What all images share is learned as part of the subject.
        </p>
        <DropZone
          label="Drop images here, or choose them"
          hint="JPEG, PNG, WebP, HEIC or AVIF"
          multiple
          onFiles={add}
        />
        {leftOut > 0 && (
          <Notice tone="warning">
            A subject has at most {MAX_REFERENCES} images: {leftOut} were left out.
          </Notice>
        )}
        <UploadList
          uploads={uploads}
          nativeSize={nativeSize}
          captions={captions}
          onCaption={(id, caption) => setCaptions((now) => ({ ...now, [id]: caption }))}
          onRemove={remove}
        />
      </section>
      <section className="card">
        <h2>What it is</h2>
        <div className="columns">
          <TextField
            label="Name"
            value={name}
            maxLength={200}
            onChange={(event) => setName(event.target.value)}
            hint="For people; prompts do not use it."
            error={problem?.about("name")}
          />
          <TextField
            label="Class noun"
            value={noun}
            placeholder="dog"
            onChange={(event) => setNoun(event.target.value)}
            hint="A common noun, such as dog, teapot or woman."
            error={problem?.about("class_noun")}
          />
        </div>
        <Choice label="Kind" value={category} options={CATEGORIES} onChange={setCategory} />
        {needsConsent && (
          <ConsentFields
            receipt={receipt}
            onChange={setReceipt}
            notAPerson={notAPerson}
            onNotAPerson={setNotAPerson}
            problem={problem}
          />
        )}
        <details>
          <summary>Advanced</summary>
          <TextField
            label="Token"
            value={token}
            onChange={(event) => setToken(event.target.value)}
            hint="A rare word that stands for this subject in prompts."
            error={problem?.about("token")}
          />
        </details>
      </section>
      <Refusal error={problem?.document.code === "consent_required" ? null : create.error} />
      <div className="actions">
        <button type="submit" className="primary" disabled={Boolean(reason) || create.isPending}>
          {create.isPending ? "Creating ..." : "Create the subject"}
        </button>
        <a className="button quiet" href="#/subjects">
          Cancel
        </a>
        <span className="hint" role="status">
          {reason}
        </span>
      </div>
    </form>
  );
}
