// Checks documents on standard input, one a line, against the schema of AsyncAPI 3.0.0, and prints
// a line for each.
import { readFileSync } from "node:fs";
import specs from "@asyncapi/specs";
import Ajv from "ajv";
import addFormats from "ajv-formats";

const schema = structuredClone(specs.schemas["3.0.0"]);
delete schema.definitions["http://json-schema.org/draft-07/schema"]; // ajv has it
delete schema.definitions["http://json-schema.org/draft-04/schema"];
const ajv = new Ajv({ strict: false });
addFormats(ajv);
const validate = ajv.compile(schema);
for (const line of readFileSync(0, "utf8").trimEnd().split("\n")) {
  console.log(validate(JSON.parse(line)) ? "valid" : `invalid: ${JSON.stringify(validate.errors[0])}`);
}
