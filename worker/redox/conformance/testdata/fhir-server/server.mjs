// A FHIR server with an authorization server, neither of which anybody here wrote: npm's
// @asymmetrik/node-fhir-server-core with patients in memory, and oidc-provider, whose tokens
// (client_credentials, private_key_jwt) it takes. The one client comes as JSON in CLIENT. The
// first line says where both are; the process ends when its input does.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import Provider from 'oidc-provider';

const require = createRequire(import.meta.url);
const fhir = require('@asymmetrik/node-fhir-server-core');
const express = createRequire(require.resolve('@asymmetrik/node-fhir-server-core'))('express');

const VERSION = '4_0_1';
const Patient = fhir.resolveSchema(VERSION, 'patient');
const Bundle = fhir.resolveSchema(VERSION, 'bundle');
const versions = new Map(); // id: every version of that patient; null for a removed one

const latest = (id) => {
  const patient = versions.get(id)?.at(-1);
  if (patient) return patient;
  throw new fhir.ServerError('no such patient', {
    statusCode: 404,
    issue: [{ severity: 'error', code: 'not-found', details: { text: 'no such patient' } }],
  });
};

const store = (id, resource) => {
  const all = versions.get(id) ?? [];
  const meta = { versionId: String(all.length + 1), lastUpdated: new Date().toISOString() };
  versions.set(id, [...all, new Patient({ ...resource, id, meta })]);
  return { id, resource_version: meta.versionId, created: all.length === 0 };
};

const bundle = (type, patients) =>
  new Bundle({ type, total: patients.length, entry: patients.map((resource) => ({ resource })) });

const service = {
  search: async (args) => {
    const family = args.family ?? args.name;
    const patients = [...versions.values()].map((all) => all.at(-1)).filter(Boolean);
    return bundle('searchset', patients.filter((p) => !family || p.name?.some((n) => n.family === family)));
  },
  searchById: async ({ id }) => latest(id),
  searchByVersionId: async ({ id, version_id: v }) => versions.get(id)?.[v - 1] ?? latest('none'),
  historyById: async ({ id }) => (latest(id), bundle('history', versions.get(id).filter(Boolean))),
  create: async (_, { req }) => store(`p${versions.size + 1}`, req.body),
  update: async ({ id }, { req }) => store(id, req.body),
  remove: async ({ id }) => (latest(id), versions.get(id).push(null), { deleted: 1 }),
};

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const base = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(`${base}/oidc`, {
    clients: [JSON.parse(process.env.CLIENT)],
    clientAuthMethods: ['private_key_jwt'],
    enabledJWA: { clientAuthSigningAlgValues: ['RS384', 'ES384'] },
    scopes: ['system/Patient.cruds'],
    responseTypes: ['none'],
    features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
    ttl: { ClientCredentials: 300 },
  });
  const app = express();
  app.use('/oidc', provider.callback());
  app.use(async (req, res, next) => {
    const bearer = /^Bearer (.+)$/.exec(req.get('Authorization') ?? '')?.[1];
    const token = bearer && (await provider.ClientCredentials.find(bearer));
    if (token?.scope === 'system/Patient.cruds' && !req.get('Redox-Source-Id')) return next();
    res.status(401).set('WWW-Authenticate', 'Bearer').end();
  });
  fhir.initialize({ profiles: { Patient: { service, versions: [VERSION] } }, logging: { level: 'emerg' } }, app);
  server.on('request', app);
  console.log(JSON.stringify({ base, token: `${base}/oidc/token` }));
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
