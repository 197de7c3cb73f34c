// A provider of OpenID Connect that nobody here wrote: npm's oidc-provider, with its own pages to sign
// in and to consent. The client comes as JSON in CLIENT, the groups of each user in GROUPS. It prints its
// issuer as its first line and ends when its input does.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const groups = JSON.parse(process.env.GROUPS);
const server = createServer();

server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [JSON.parse(process.env.CLIENT)],
    pkce: { required: () => true },
    scopes: ['openid', 'profile', 'email', 'groups'],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
    conformIdTokenClaims: process.env.CLAIMS_IN === 'userinfo',
    features: { devInteractions: { enabled: true } },
    cookies: { keys: ['of-the-tests'] },
    ttl: { Session: 600, Grant: 600, Interaction: 600, IdToken: 600, AccessToken: 600 },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@hospital.example`, email_verified: true, groups: groups[id] ?? [] }),
    }),
  });
  server.on('request', provider.callback());
  console.log(issuer);
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
