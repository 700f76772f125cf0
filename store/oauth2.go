package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/oauth2"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/detached"
)

// OAuth2 refreshes by the refresh grant of RFC 6749 §6, through x/oauth2. The HTTP client is the context's (oauth2.HTTPClient), as
// usual, but a redirect to another origin is refused, and the HTTP client's own time limit does not count: a rotated token must be
// read, and the refresh has a limit of its own, see [WithRefreshTimeout]. The same holds for the time limit of an axle client whose
// HTTPClient it is.
//
// One refresh spends a refresh token once. Where cfg leaves the style of client authentication to be detected (AuthStyleAutoDetect),
// the first is HTTP Basic for a client with a secret, and client_id in the body for one without; only a server that answers
// invalid_client gets the other style, within the same refresh. The style that worked is remembered, and cfg is not modified. A server
// that refuses the first style in another way needs cfg.Endpoint.AuthStyle.
//
// Tokens whose expires_in is not a number of seconds have an unknown expiry. A member that should be a string and is none counts as
// absent, and the others are kept. A token without a type keeps the old one's.
func OAuth2(cfg *oauth2.Config) RefreshFunc {
	if cfg == nil {
		return func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			return nil, errors.New("store: OAuth2 was given no config")
		}
	}
	g := &grant{cfg: cfg}
	return g.refresh
}

// grant is one OAuth2 RefreshFunc.
type grant struct {
	cfg   *oauth2.Config
	style atomic.Int64 // the oauth2.AuthStyle that worked last; AuthStyleAutoDetect: none yet
}

func (g *grant) refresh(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
	if current == nil || current.RefreshToken == "" {
		return nil, errors.New("store: there is no refresh token to refresh with")
	}
	ctx = context.WithValue(detached.WithoutLimits(ctx), oauth2.HTTPClient, tokenClient(ctx))

	if style := g.cfg.Endpoint.AuthStyle; style != oauth2.AuthStyleAutoDetect {
		return g.ask(ctx, current, style)
	}
	style := oauth2.AuthStyle(g.style.Load())
	if style == oauth2.AuthStyleAutoDetect {
		style = oauth2.AuthStyleInHeader
		if g.cfg.ClientSecret == "" { // RFC 6749 §3.2.1: a public client sends its client_id
			style = oauth2.AuthStyleInParams
		}
	}
	token, err := g.ask(ctx, current, style)
	if isInvalidClient(err) {
		style = other(style)
		token, err = g.ask(ctx, current, style)
	}
	if err == nil {
		g.style.Store(int64(style))
	}
	return token, err
}

// ask sends the refresh token once. x/oauth2 would send it again, in the other style, after any failure: also after one that the
// server answered when it had spent the token.
func (g *grant) ask(ctx context.Context, current *oauth2.Token, style oauth2.AuthStyle) (*oauth2.Token, error) {
	cfg := oauth2.Config{
		ClientID: g.cfg.ClientID, ClientSecret: g.cfg.ClientSecret, RedirectURL: g.cfg.RedirectURL, Scopes: g.cfg.Scopes,
		Endpoint: g.cfg.Endpoint,
	}
	cfg.Endpoint.AuthStyle = style
	token, err := cfg.TokenSource(ctx, &oauth2.Token{RefreshToken: current.RefreshToken}).Token()
	if err != nil {
		return nil, err
	}
	return withTypeOf(current, token), nil
}

func other(style oauth2.AuthStyle) oauth2.AuthStyle {
	if style == oauth2.AuthStyleInHeader {
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleInHeader
}

// isInvalidClient reports whether the server says that it did not authenticate the client, and so has not looked at the refresh token
// (RFC 6749 §5.2).
func isInvalidClient(err error) bool {
	var refused *oauth2.RetrieveError
	return errors.As(err, &refused) && refused.ErrorCode == "invalid_client" && refused.Response.StatusCode < http.StatusInternalServerError
}

// tokenClient is the context's HTTP client, with the rules of a refresh.
func tokenClient(ctx context.Context) *http.Client {
	client := &http.Client{}
	if given, ok := ctx.Value(oauth2.HTTPClient).(*http.Client); ok && given != nil {
		*client = *given
	}
	client.Timeout = 0
	client.Transport = readable{client.Transport}
	check := client.CheckRedirect
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if err := sameOrigin(next, via); err != nil {
			return err
		}
		if check != nil {
			return check(next, via)
		}
		if len(via) >= axle.MaxRedirects {
			return errors.New("store: too many redirects")
		}
		return nil
	}
	return client
}

// readable makes of a token endpoint's answer one that x/oauth2 can read. One member of another form than x/oauth2 expects makes it
// throw away the whole answer: the tokens of a success, which are spent then, and the error code of a refusal.
type readable struct{ next http.RoundTripper }

// maxAnswer is how much x/oauth2 reads of an answer, in bytes.
const maxAnswer = 1 << 20

func (t readable) RoundTrip(r *http.Request) (*http.Response, error) {
	next := t.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(r)
	if err != nil || resp.StatusCode < 200 || resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return resp, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Header = resp.Header.Clone()

	plain, isJSON := plainJSON(body)
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch isForm := media == "application/x-www-form-urlencoded" || media == "text/plain"; {
	case isForm && isJSON:
		// x/oauth2 believes the label, and would find no token in it.
		resp.Header.Set("Content-Type", "application/json")
	case isForm:
		plain = plainForm(body)
	}

	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(plain)), int64(len(plain))
	resp.Header.Set("Content-Length", strconv.Itoa(len(plain)))
	return resp, nil
}

func plainForm(body []byte) []byte {
	form, err := url.ParseQuery(string(body))
	if err != nil || !form.Has("expires_in") {
		return body
	}
	life := secondsIn(form.Get("expires_in"))
	form.Set("expires_in", strconv.FormatInt(life, 10))
	return []byte(form.Encode())
}

// plainJSON leaves out what x/oauth2 wants as a string and is none, and makes of expires_in a whole number of seconds. x/oauth2 takes a
// member's name in any case. What is no JSON object is returned as it is, but for a byte order mark.
func plainJSON(body []byte) (plain []byte, isObject bool) {
	body = bytes.TrimPrefix(body, []byte(byteOrderMark))
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil || members == nil {
		return body, false
	}

	changed := false
	for name, raw := range members {
		switch strings.ToLower(name) {
		case "expires_in":
			members[name] = strconv.AppendInt(nil, secondsOf(raw), 10)
			changed = true
		case "access_token", "token_type", "refresh_token", "error", "error_description", "error_uri":
			if raw[0] != '"' {
				delete(members, name)
				changed = true
			}
		}
	}
	if !changed {
		return body, true
	}
	plain, err := json.Marshal(members)
	if err != nil {
		return body, true
	}
	return plain, true
}
