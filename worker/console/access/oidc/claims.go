package oidc

import (
	"context"
	"errors"
	"fmt"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/redoxworker/redoxworker/worker/console/access"
)

// mostGroups bounds the groups of a user.
const mostGroups = 10_000

// identity is who the ID token is about. What it does not say the provider is asked for.
func (p *Provider) identity(ctx context.Context, provider *oidc.Provider, token *oauth2.Token, id *oidc.IDToken) (access.Identity, error) {
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return access.Identity{}, errors.New("oidc: the ID token has claims of the wrong form")
	}
	if (claims[p.cfg.NameClaim] == nil || claims[p.cfg.GroupsClaim] == nil) && provider.UserInfoEndpoint() != "" {
		more, err := p.userInfo(ctx, provider, token, id.Subject)
		if err != nil {
			return access.Identity{}, err
		}
		for name, value := range more {
			if claims[name] == nil {
				claims[name] = value
			}
		}
	}
	return p.read(claims)
}

// userInfo asks the provider for claims, which must be about the same user.
func (p *Provider) userInfo(ctx context.Context, provider *oidc.Provider, token *oauth2.Token, subject string) (map[string]any, error) {
	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return nil, errors.New("oidc: the provider did not answer who it is at its userinfo endpoint")
	}
	more := map[string]any{}
	if err := info.Claims(&more); err != nil || info.Subject != subject {
		return nil, errors.New("oidc: the userinfo endpoint tells of another user")
	}
	return more, nil
}

// read takes name and groups of claims.
func (p *Provider) read(claims map[string]any) (access.Identity, error) {
	var who access.Identity
	who.Name, _ = claims[p.cfg.NameClaim].(string)
	if who.Name == "" {
		return who, fmt.Errorf("oidc: the provider gives no claim %s: have it do so, or set another console.oidc.name_claim", p.cfg.NameClaim)
	}
	if verified, told := claims["email_verified"]; p.cfg.NameClaim == "email" && told && verified != true && verified != "true" {
		return who, errors.New("oidc: the provider has not verified the email address, which anybody could write there")
	}
	if elsewhere, _ := claims["_claim_names"].(map[string]any); elsewhere[p.cfg.GroupsClaim] != nil {
		return who, errors.New("oidc: the user has more groups than the provider puts into a token: have it give those of the console only")
	}
	switch groups := claims[p.cfg.GroupsClaim].(type) {
	case nil:
	case string:
		who.Groups = []string{groups}
	case []any:
		if len(groups) > mostGroups {
			return who, fmt.Errorf("oidc: the user has more than %d groups", mostGroups)
		}
		for _, g := range groups {
			name, ok := g.(string)
			if !ok {
				return who, fmt.Errorf("oidc: the claim %s holds something else than texts", p.cfg.GroupsClaim)
			}
			who.Groups = append(who.Groups, name)
		}
	default:
		return who, fmt.Errorf("oidc: the claim %s is no list of texts", p.cfg.GroupsClaim)
	}
	return who, nil
}
