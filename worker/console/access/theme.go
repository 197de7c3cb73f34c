package access

import "net/http"

// themeCookie is the name of the cookie that says which theme somebody has chosen.
const themeCookie = "redoxworker-theme"

// themeAge is how long a theme is remembered, in seconds.
const themeAge = 365 * 24 * 60 * 60

// Theme is the one that somebody has chosen: light, dark, or "" for that of their system.
func Theme(r *http.Request) string {
	if c, err := r.Cookie(themeCookie); err == nil {
		return themeOf(c.Value)
	}
	return ""
}

// SetTheme has the browser of a user remember a theme; anything but light and dark has it forget one.
func SetTheme(w http.ResponseWriter, r *http.Request, theme string) {
	u, _ := From(r.Context())
	c := &http.Cookie{Name: themeCookie, Value: themeOf(theme), Path: "/", MaxAge: themeAge, HttpOnly: true, Secure: r.TLS != nil || u.OverTLS, SameSite: http.SameSiteStrictMode}
	if c.Value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

func themeOf(text string) string {
	if text == "light" || text == "dark" {
		return text
	}
	return ""
}
