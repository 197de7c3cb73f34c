package keyfile

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/MicahParks/jwkset"

	"github.com/redoxworker/redoxworker/auth/internal/answer"
)

// maxRSABits bounds an RSA key: beyond it one signature takes seconds.
const maxRSABits = 8192

// parseJWK takes a private JWK, or the one private key of a JWK set.
func parseJWK(data []byte, id string) (Read, error) {
	if data[0] == '[' {
		return Read{}, Error("it is a JSON list: give one JWK, {\"kty\":…}")
	}
	var set struct {
		jwkset.JWKMarshal
		Keys []jwkset.JWKMarshal `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return Read{}, Error("it is not a JWK, the JSON cannot be read: copy the file again") // the JSON error may quote the data
	}
	if set.Keys == nil {
		return fromJWK(set.JWKMarshal, id)
	}
	private := slices.DeleteFunc(set.Keys, func(m jwkset.JWKMarshal) bool {
		return m.D == "" || id != "" && m.KID != id
	})
	switch len(private) {
	case 1:
		return fromJWK(private[0], id)
	case 0:
		return Read{}, Error("the JWK set has no private key %s: give the private half", quoteID(id))
	}
	return Read{}, Error("the JWK set has %d private keys: name one by its kid", len(private))
}

func quoteID(id string) string {
	if id == "" {
		return "in it"
	}
	return "with kid " + strings.ToValidUTF8(`"`+id+`"`, "?")
}

// fromJWK checks the metadata that a server would check too, then the numbers.
func fromJWK(m jwkset.JWKMarshal, id string) (Read, error) {
	if err := checkJWK(m, id); err != nil {
		return Read{}, err
	}
	if id == "" {
		id = m.KID
	}
	bare := jwkset.JWKMarshal{
		KTY: m.KTY, CRV: m.CRV, X: m.X, Y: m.Y, D: m.D,
		N: m.N, E: m.E, P: m.P, Q: m.Q, DP: m.DP, DQ: m.DQ, QI: m.QI,
	}
	private, err := jwkset.NewJWKFromMarshal(bare, jwkset.JWKMarshalOptions{Private: true}, jwkset.JWKValidateOptions{})
	if err != nil {
		return Read{}, Error("the numbers of the JWK do not make a key: download or generate it again")
	}
	return Read{Private: private.Key(), ID: id, Algorithm: string(m.ALG)}, nil
}

func checkJWK(m jwkset.JWKMarshal, id string) error {
	switch {
	case m.KTY == jwkset.KtyOct:
		return Error("it is a symmetric key (kty oct): %s", MendNew)
	case m.KTY != jwkset.KtyRSA && m.KTY != jwkset.KtyEC:
		return Error("kty %.20q is not taken: %s", string(m.KTY), MendNew)
	case m.D == "":
		return Error("the JWK is the public half (no d): give the private one, Redox gets the public one")
	case m.KTY == jwkset.KtyEC && (m.X == "" || m.Y == ""):
		return Error("the JWK has no x and y: give a complete one")
	case m.KTY == jwkset.KtyRSA && (m.P == "" || m.Q == "" || m.DP == "" || m.DQ == "" || m.QI == ""):
		return Error("the RSA JWK lacks p, q, dp, dq or qi: give a complete one, or PEM")
	case len(m.OTH) > 0:
		return Error("the RSA JWK has more than two primes: %s", MendNew)
	case len(m.N) > maxRSABits/4:
		return Error("the RSA JWK has more than %d bits: %s", maxRSABits, MendNew)
	case m.USE != "" && m.USE != jwkset.UseSig:
		return Error("the JWK is not for signing (use %.20q): %s", string(m.USE), MendNew)
	case len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsSign):
		return Error("the JWK is not for signing (key_ops lacks sign): %s", MendNew)
	case id != "" && m.KID != "" && m.KID != id:
		return Error("the JWK's kid is %q but %q is configured: remove one of the two", answer.Clip(m.KID, 64), answer.Clip(id, 64))
	}
	return nil
}
