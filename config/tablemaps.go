package config

// keyFields and sourceFields are the rows of the two sections whose entries
// have names: at works on the entry.

func keyFields() []field {
	pair := []string{KeyOAuth, KeyUser}
	legacy := []string{KeyLegacy}
	str := at[Key, string]
	sec := at[Key, Secret]
	rows := []field{
		{key: "type", kind: kindText, def: KeyOAuth, values: []string{KeyOAuth, KeyLegacy, KeyUser}, doc: "user is an OAuth key for the Platform API",
			at: str(func(k *Key) *string { return &k.Type })},
		{key: "client_id", kind: kindText, required: true, types: pair, doc: "client id of the key, from Redox's dashboard",
			at: str(func(k *Key) *string { return &k.ClientID })},
		{key: "kid", kind: kindText, required: true, types: pair, doc: "key id; read from a private key that is a JWK with one",
			at: str(func(k *Key) *string { return &k.KID })},
		{key: "private_key", kind: kindSecret, types: pair, doc: "private key, PEM or JWK",
			at: sec(func(k *Key) *Secret { return &k.PrivateKey })},
		{key: "private_key_file", kind: kindSecretFile, required: true, types: pair, doc: "file with the private key, PEM or JWK",
			at: str(func(k *Key) *string { return &k.PrivateKeyFile })},
		{key: "next.kid", kind: kindText, types: pair, doc: "key id of the next key pair of a rotation",
			at: str(func(k *Key) *string { return &k.Next.KID })},
		{key: "next.private_key", kind: kindSecret, types: pair, doc: "the next private key, PEM or JWK",
			at: sec(func(k *Key) *Secret { return &k.Next.PrivateKey })},
		{key: "next.private_key_file", kind: kindSecretFile, types: pair, doc: "file with the next private key",
			at: str(func(k *Key) *string { return &k.Next.PrivateKeyFile })},
		{key: "algorithm", kind: kindText, values: []string{"RS384", "ES384"}, types: pair, doc: "empty means RS384 for RSA and ES384 for EC keys",
			at: str(func(k *Key) *string { return &k.Algorithm })},
		{key: "audience", kind: kindText, types: pair, doc: "aud of the client assertion; empty means redox.token_url",
			at: str(func(k *Key) *string { return &k.Audience })},
		{key: "scope", kind: kindText, types: pair, doc: "scope to ask for; empty asks for none",
			at: str(func(k *Key) *string { return &k.Scope })},
		{key: "mode", kind: kindText, def: ModeCached, values: []string{ModeCached, ModePerRequest}, types: pair, doc: "whether a token serves until it expires or for one request",
			at: str(func(k *Key) *string { return &k.Mode })},
		{key: "pool", kind: kindInteger, def: "1", least: "1", most: "64", types: pair, doc: "tokens held at once",
			at: at(func(k *Key) *int { return &k.Pool })},
		{key: "api_key", kind: kindSecret, types: legacy, doc: "API key",
			at: sec(func(k *Key) *Secret { return &k.APIKey })},
		{key: "api_key_file", kind: kindSecretFile, required: true, types: legacy, doc: "file with the API key",
			at: str(func(k *Key) *string { return &k.APIKeyFile })},
		{key: "secret", kind: kindSecret, types: legacy, doc: "secret of the API key",
			at: sec(func(k *Key) *Secret { return &k.Secret })},
		{key: "secret_file", kind: kindSecretFile, required: true, types: legacy, doc: "file with the secret of the API key",
			at: str(func(k *Key) *string { return &k.SecretFile })},
	}
	for i := range rows {
		rows[i].key = "keys.*." + rows[i].key
		rows[i].part = PartKeys
	}
	return rows
}

// feedFields say where more sources and keys come from.
func feedFields() []field {
	return []field{
		{key: "sources_dir", kind: kindDir, part: PartSources, doc: "directory of files with more sources and keys, followed while the worker runs",
			at: at(func(c *Config) *string { return &c.SourcesDir })},
		{key: "registry", kind: kindBoolean, def: "false", doc: "whether the sources of the registry in NATS are served, too; see redoxworker sources",
			at: at(func(c *Config) *bool { return &c.Registry })},
	}
}

func sourceFields() []field {
	str := at[Source, string]
	rows := []field{
		{key: "id", kind: kindText, required: true, doc: "Redox's Source ID, a UUID; may be left out with a key of type legacy or user",
			at: str(func(s *Source) *string { return &s.ID })},
		{key: "key", kind: kindText, required: true, doc: "name of the key under keys",
			at: str(func(s *Source) *string { return &s.Key })},
		{key: "environment", kind: kindText, def: EnvironmentDevelopment, values: []string{EnvironmentDevelopment, EnvironmentStaging, EnvironmentProduction}, doc: "Redox environment of the source",
			at: str(func(s *Source) *string { return &s.Environment })},
		{key: "on_unknown", kind: kindText, def: OnUnknownResend, values: []string{OnUnknownResend, OnUnknownHold}, doc: "what to do when a request was written and no answer came",
			at: str(func(s *Source) *string { return &s.OnUnknown })},
		{key: "hold", kind: kindList, doc: "DataModel.EventType patterns that hold although on_unknown is resend",
			at: at(func(s *Source) *[]string { return &s.Hold })},
	}
	for i := range rows {
		rows[i].key = "sources.*." + rows[i].key
		rows[i].part = PartSources
	}
	return rows
}
