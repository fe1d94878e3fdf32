import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { ask, client, type Schemas, type Subject } from "../api/client";
import { useModels } from "../api/queries";
import { modelFor, recipeOf, trainable } from "../lib/base-model";
import { go } from "../lib/router";
import { Estimate } from "./estimate";
import { Choice, SelectField } from "./fields";
import { Refusal } from "./notice";
import { ParameterFields, parsed, type Texts } from "./parameter-fields";
import { PhotoWarning, useIsPhotoOnMiniature } from "./photo-warning";

const PRESETS = [
  { value: "fast", text: "Fast" },
  { value: "balanced", text: "Balanced" },
  { value: "best", text: "Best" },
] as const;
type Preset = (typeof PRESETS)[number]["value"];
type NewPrior = Schemas["NewPrior"];

/** Starts a training. Sensible settings are chosen; the fold has all of them. */
export function TrainingForm({ subject }: { subject: Subject }) {
  const queries = useQueryClient();
  const known = useModels().data;
  const models = trainable(known);
  const [fingerprint, setFingerprint] = useState<string>();
  // Without a worker of trainings now, those of edits tell what the service will train with.
  const model = modelFor(models.length > 0 ? models : known, fingerprint);
  const recipe = recipeOf(model);
  const isPhoto = useIsPhotoOnMiniature(subject, model);
  const [preset, setPreset] = useState<Preset>("balanced");
  const [previews, setPreviews] = useState("4");
  const [snapshots, setSnapshots] = useState("default");
  const [prior, setPrior] = useState<Texts>({});
  const [regularization, setRegularization] = useState<Texts>({});
  const [isOpen, setOpen] = useState(false);
  const path = { subject_id: subject.id };
  const body: NewPrior = {
    preset,
    previews: Number(previews),
    snapshots: snapshots === "default" ? null : Number(snapshots),
    parameters: parsed("prior", prior, recipe?.prior) as NewPrior["parameters"],
    regularization: parsed(
      "regularization",
      regularization,
      recipe?.regularization,
    ) as NewPrior["regularization"],
    base_model: models.length > 1 && model ? model.fingerprint : null,
  };
  const train = useMutation({
    mutationFn: () => ask(client.POST("/v1/subjects/{subject_id}/priors", { params: { path }, body })),
    onSuccess: (job) => {
      void queries.invalidateQueries({ queryKey: ["priors", subject.id] });
      go(`jobs/${job.id}`);
    },
  });
  const dryRun = (text: string) =>
    ask(
      client.POST("/v1/subjects/{subject_id}/priors/dry-run", {
        params: { path },
        body: JSON.parse(text) as NewPrior,
      }),
    );

  return (
    <section className="card" aria-labelledby="train">
      <h2 id="train">Learn {subject.name}</h2>
      {models.length > 1 && (
        <SelectField
          label="Base model"
          value={model?.fingerprint}
          onChange={(event) => setFingerprint(event.target.value)}
          hint="Edits with this training's result use the same one."
        >
          {models.map((one) => (
            <option key={one.fingerprint} value={one.fingerprint}>
              {one.name}
            </option>
          ))}
        </SelectField>
      )}
      <div className="columns">
        <Choice
          label="Time against likeness"
          value={preset}
          options={PRESETS}
          onChange={setPreset}
          hint="Fast makes half of the steps, best twice as many."
        />
        <SelectField
          label="Previews on the way"
          value={previews}
          onChange={(event) => setPreviews(event.target.value)}
          hint="Each costs a little time."
        >
          {["0", "2", "4", "8"].map((number) => (
            <option key={number}>{number}</option>
          ))}
        </SelectField>
        <SelectField
          label="Snapshots to choose from"
          value={snapshots}
          onChange={(event) => setSnapshots(event.target.value)}
          hint="Earlier steps that you can use instead of the last."
        >
          <option value="default">As usual</option>
          {["0", "1", "3", "7"].map((number) => (
            <option key={number}>{number}</option>
          ))}
        </SelectField>
      </div>
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>Advanced: all settings of the training</summary>
        {isOpen && (
          <>
            <ParameterFields form="prior" texts={prior} recipe={recipe?.prior} onChange={setPrior} />
            <h3>Images of the class</h3>
            <ParameterFields
              form="regularization"
              texts={regularization}
              recipe={recipe?.regularization}
              onChange={setRegularization}
            />
          </>
        )}
      </details>
      {isPhoto && <PhotoWarning />}
      <Refusal error={train.error} />
      <div className="actions">
        <button type="button" className="primary" disabled={train.isPending} onClick={() => train.mutate()}>
          {train.isPending ? "Starting ..." : isPhoto ? "Start training anyway" : "Start training"}
        </button>
        <Estimate name={`prior ${subject.id}`} body={JSON.stringify(body)} dryRun={dryRun} />
      </div>
    </section>
  );
}
