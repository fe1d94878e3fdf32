import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { ApiProblem, type Schemas } from "../api/client";
import { useEdit, useJob, useNewestEdits } from "../api/queries";
import { type Study, type StudyFacts, studyOfEdits, studyOfFolders, systemOf } from "../api/studies";
import type { Folders } from "../lib/folders";
import { ago } from "../lib/words";
import { CheckField, Choice, TextField } from "./fields";
import { FolderChoice } from "./folder-choice";
import { Notice, Refusal } from "./notice";

const SOURCES = [
  { value: "edits", text: "Edits of this project" },
  { value: "folder", text: "A folder of images" },
] as const;
const QUESTIONS = [
  { value: "identity", text: "Identity: which one is more like the subject?" },
  { value: "background", text: "Background: which one keeps it better?" },
  { value: "satisfaction", text: "Satisfaction: which one answers the request better?" },
] as const;
type Question = (typeof QUESTIONS)[number]["value"];

/** Numbers with their defaults, which are those of the contract. */
const SHAPE = {
  questions_per_rater: { label: "Questions to each rater", value: 60, min: 1, max: 200, step: 1 },
  attention_checks: { label: "Attention checks: the same image twice", value: 2, min: 0, max: 20, step: 1 },
  repeats: {
    label: "Questions that come again, with the sides exchanged",
    value: 2,
    min: 0,
    max: 20,
    step: 1,
  },
  max_raters: { label: "Raters at most", value: 50, min: 1, max: 1000, step: 1 },
} as const;
const RULES = {
  min_answers: { label: "Fewer answers than", value: 1, min: 0, max: 500, step: 1 },
  max_failed_checks: { label: "More failed attention checks than", value: 1, min: 0, max: 20, step: 1 },
  min_repeat_agreement: {
    label: "Smaller share of equal repeats than",
    value: 0,
    min: 0,
    max: 1,
    step: 0.05,
  },
  min_median_seconds: {
    label: "Less time for an answer (median, seconds) than",
    value: 0.5,
    min: 0,
    max: 60,
    step: 0.1,
  },
  max_same_answer_share: {
    label: "Larger share of one answer than",
    value: 0.95,
    min: 0.05,
    max: 1,
    step: 0.05,
  },
} as const;
type Numbers = Record<keyof typeof SHAPE | keyof typeof RULES, number>;
const DEFAULTS = Object.fromEntries(
  Object.entries({ ...SHAPE, ...RULES }).map(([name, { value }]) => [name, value]),
) as Numbers;

const PAGE = 24;
type EditBody = Schemas["EditBody"];

function EditChoice({
  edit,
  isChosen,
  onToggle,
}: {
  edit: EditBody;
  isChosen: boolean;
  onToggle: () => void;
}) {
  const whole = useEdit(edit.id, true).data;
  const job = useJob(whole?.job_id ?? null, true).data;
  const first = whole?.results[0];
  if (!first || job?.status !== "succeeded") return null;
  return (
    <li>
      <label className="edit-choice">
        <input type="checkbox" checked={isChosen} onChange={onToggle} />
        <img className="picture" src={first.image.url} alt="" loading="lazy" />
        <span className="edit-choice-words">
          {edit.target_prompts.join(" · ")}
          <span className="hint">
            {systemOf(whole, job)} · seed {first.seed ?? "none"} · {ago(edit.created_at)}
            {whole.results.length > 1 ? ` · ${whole.results.length} results` : ""}
          </span>
        </span>
      </label>
    </li>
  );
}

function EditChoices({ chosen, onChange }: { chosen: string[]; onChange: (ids: string[]) => void }) {
  const edits = useNewestEdits((all) => all).data;
  const [limit, setLimit] = useState(PAGE);
  if (edits?.length === 0)
    return (
      <Notice tone="info">
        This project has no edits yet. Make some under Edit: “Compare with other presets or methods” makes
        those that a study can compare.
      </Notice>
    );
  const toggle = (id: string) =>
    onChange(chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id]);
  return (
    <fieldset>
      <legend>Edits of two or more methods or presets, of the same image, prompt and seed</legend>
      <ul className="edit-choices">
        {edits?.slice(0, limit).map((edit) => (
          <EditChoice
            key={edit.id}
            edit={edit}
            isChosen={chosen.includes(edit.id)}
            onToggle={() => toggle(edit.id)}
          />
        ))}
      </ul>
      {edits && edits.length > limit && (
        <button type="button" className="quiet" onClick={() => setLimit(limit + PAGE)}>
          Show more
        </button>
      )}
    </fieldset>
  );
}

/** What is compared, what raters are asked, and the rules that are fixed before the first answer. */
export function NewStudy({ onMade }: { onMade: (study: Study) => void }) {
  const [name, setName] = useState("");
  const [source, setSource] = useState<(typeof SOURCES)[number]["value"]>("edits");
  const [questions, setQuestions] = useState<Question[]>(QUESTIONS.map(({ value }) => value));
  const [numbers, setNumbers] = useState<Numbers>(DEFAULTS);
  const [chosen, setChosen] = useState<string[]>([]);
  const [folders, setFolders] = useState<Folders<File> | null>(null);
  const [subjectId, setSubjectId] = useState("");
  const [progress, setProgress] = useState(0);
  const make = useMutation({
    mutationFn: () => {
      const { questions_per_rater, attention_checks, repeats, max_raters, ...exclusion } = numbers;
      const facts: StudyFacts = {
        name: name.trim(),
        questions,
        questions_per_rater,
        attention_checks,
        repeats,
        max_raters,
        exclusion,
      };
      setProgress(0);
      return source === "folder" && folders
        ? studyOfFolders(facts, folders, subjectId || null, setProgress)
        : studyOfEdits(facts, chosen);
    },
    onSuccess: onMade,
  });
  const problem = make.error instanceof ApiProblem ? make.error : null;
  const field = (
    key: keyof Numbers,
    { label, value: _, ...bounds }: (typeof SHAPE & typeof RULES)[keyof Numbers],
  ) => (
    <TextField
      key={key}
      label={label}
      type="number"
      value={Number.isNaN(numbers[key]) ? "" : numbers[key]}
      {...bounds}
      error={problem?.about(key) ?? problem?.about(`exclusion.${key}`)}
      onChange={(event) => setNumbers({ ...numbers, [key]: event.target.valueAsNumber })}
    />
  );
  const isEmpty = source === "edits" ? chosen.length < 2 : folders === null;
  const reason = !name.trim()
    ? "Give the study a name."
    : questions.length === 0
      ? "Choose a question."
      : Object.values(numbers).some(Number.isNaN)
        ? "Fill in all numbers."
        : isEmpty
          ? source === "edits"
            ? "Choose edits of two or more systems."
            : "Choose a folder."
          : null;
  return (
    <section className="card" aria-labelledby="new-study">
      <h2 id="new-study">New study</h2>
      <TextField
        label="Name"
        value={name}
        maxLength={200}
        hint="Raters see it: it must not name a system."
        error={problem?.about("name")}
        onChange={(event) => setName(event.target.value)}
      />
      <fieldset>
        <legend>Questions</legend>
        {QUESTIONS.map(({ value, text }) => (
          <CheckField
            key={value}
            label={text}
            checked={questions.includes(value)}
            onChange={() =>
              setQuestions((now) =>
                now.includes(value) ? now.filter((one) => one !== value) : [...now, value],
              )
            }
          />
        ))}
      </fieldset>
      <Choice label="What is compared" value={source} options={SOURCES} onChange={setSource} />
      {source === "edits" ? (
        <EditChoices chosen={chosen} onChange={setChosen} />
      ) : (
        <FolderChoice
          folders={folders}
          onChange={setFolders}
          subjectId={subjectId}
          onSubject={setSubjectId}
        />
      )}
      <details>
        <summary>Length, checks and rules</summary>
        <div className="columns">{entries(SHAPE).map(([key, fact]) => field(key, fact as never))}</div>
        <fieldset className="study-rules">
          <legend>
            A rater is left out of the results with one of these, and nobody can change it later
          </legend>
          <div className="columns">{entries(RULES).map(([key, fact]) => field(key, fact as never))}</div>
        </fieldset>
      </details>
      <Refusal error={make.error} />
      <div className="actions">
        <button
          type="button"
          className="primary"
          disabled={reason !== null || make.isPending}
          onClick={() => make.mutate()}
        >
          {make.isPending ? "Making the study ..." : "Make the study"}
        </button>
        <span className="hint" role="status">
          {make.isPending && source === "folder"
            ? `${Math.round(progress * 100)} % of the images are sent`
            : (reason ?? (source === "edits" ? `${chosen.length} chosen` : ""))}
        </span>
      </div>
    </section>
  );
}

const entries = <K extends string, V>(record: Record<K, V>) => Object.entries(record) as [K, V][];
