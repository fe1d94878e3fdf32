// Writes the settings of trainings and methods that forms show, from the contract: src/api/parameters.json.
import { readFileSync, writeFileSync } from "node:fs";

const contract = JSON.parse(readFileSync(new URL("../../docs/openapi.json", import.meta.url), "utf8"));
const FORMS = {
  prior: "PriorParameters",
  regularization: "RegularizationParameters",
  nima: "NimaParameters",
  nima_single_pass: "NimaSinglePassParameters",
  ddim: "DdimParameters",
  sdedit: "SdeditParameters",
  prompt_to_prompt: "PromptToPromptParameters",
  masactrl: "MasaCtrlParameters",
  dreamctrl: "DreamCtrlParameters",
  imagic: "ImagicParameters",
  ledits: "LeditsParameters",
  mystyle: "MyStyleParameters",
  reference_tokens: "ReferenceTokensParameters",
};

/** The type of a value without null, and the description of the field. */
function field(name, { anyOf, description, ...rest }) {
  const {
    type,
    enum: options,
    minimum,
    maximum,
  } = (anyOf ?? [rest]).find((one) => one.type !== "null") ?? rest;
  return { name, type, options, minimum, maximum, description };
}

const forms = Object.fromEntries(
  Object.entries(FORMS).map(([form, schema]) => [
    form,
    Object.entries(contract.components.schemas[schema].properties).map(([name, property]) =>
      field(name, property),
    ),
  ]),
);
writeFileSync(new URL("../src/api/parameters.json", import.meta.url), `${JSON.stringify(forms, null, 1)}\n`);
