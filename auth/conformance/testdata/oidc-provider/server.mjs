// An authorization server that nobody here wrote: npm's oidc-provider, with
// client_credentials and private_key_jwt. Clients come as JSON in CLIENTS. It
// prints its token URL as its first line and ends when its input does.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512'];
const server = createServer();

server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: JSON.parse(process.env.CLIENTS),
    clientAuthMethods: ['private_key_jwt'],
    enabledJWA: { clientAuthSigningAlgValues: algorithms },
    scopes: ['fhir:development'],
    responseTypes: ['none'],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
    },
    ttl: { ClientCredentials: 300 },
  });
  server.on('request', provider.callback());
  console.log(`${issuer}/token`);
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
