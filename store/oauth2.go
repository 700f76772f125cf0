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
	"github.com/axlehttp/axle/internal/fetch"
	"github.com/axlehttp/axle/internal/redact"
)

// OAuth2 returns a RefreshFunc for the refresh grant of RFC 6749 §6, by way of x/oauth2.
//
// The HTTP client is that of the context (oauth2.HTTPClient), as usual. A redirect to another
// origin is refused, and in a browser every redirect. The time limit of the HTTP client does not
// count, since a rotated token must be read, nor does that of an axle client whose HTTPClient it is.
// The refresh has its own time limit, see [WithRefreshTimeout].
//
// One refresh spends a refresh token once. If cfg leaves the style of client authentication open
// (AuthStyleAutoDetect), the first request uses HTTP Basic for a client with a secret, and
// client_id in the body for a client without one. Only if the server answers invalid_client, the
// other style is tried in the same refresh. The style that worked is remembered, and cfg is not
// modified. A server that refuses the first style in another way needs cfg.Endpoint.AuthStyle.
//
// If expires_in is not a number of seconds, the expiry of the token is unknown. Other members that
// should be strings and are not count as absent. A token without a type keeps the type of the old
// one.
//
// The URLs in errors have no secrets.
func OAuth2(cfg *oauth2.Config) RefreshFunc {
	if cfg == nil {
		return func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			return nil, errors.New("store: OAuth2 was given no config")
		}
	}
	g := &grant{cfg: cfg}
	return g.refresh
}

// grant is one RefreshFunc of [OAuth2].
type grant struct {
	cfg   *oauth2.Config
	style atomic.Int64 // the oauth2.AuthStyle that worked last; AuthStyleAutoDetect: none yet
}

func (g *grant) refresh(ctx context.Context, current *oauth2.Token) (*oauth2.Token, error) {
	if current == nil || current.RefreshToken == "" {
		return nil, errNothingToSpend
	}
	ctx = context.WithValue(detached.WithoutLimits(ctx), oauth2.HTTPClient, tokenClient(ctx))

	if style := g.cfg.Endpoint.AuthStyle; style != oauth2.AuthStyleAutoDetect {
		return g.send(ctx, current, style)
	}

	style := g.firstStyle()
	token, err := g.send(ctx, current, style)
	if isInvalidClient(err) {
		style = other(style)
		token, err = g.send(ctx, current, style)
	}
	if err == nil {
		g.style.Store(int64(style))
	}
	return token, err
}

// firstStyle returns the style of client authentication to begin with. A public client sends its
// client_id in the body (RFC 6749 §3.2.1).
func (g *grant) firstStyle() oauth2.AuthStyle {
	style := oauth2.AuthStyle(g.style.Load())
	switch {
	case style != oauth2.AuthStyleAutoDetect:
		return style
	case g.cfg.ClientSecret == "":
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleInHeader
}

// send sends the refresh token once. With AuthStyleAutoDetect x/oauth2 would send it again in the
// other style after any failure, even one that has spent the token.
func (g *grant) send(
	ctx context.Context, current *oauth2.Token, style oauth2.AuthStyle,
) (*oauth2.Token, error) {
	cfg := oauth2.Config{
		ClientID:     g.cfg.ClientID,
		ClientSecret: g.cfg.ClientSecret,
		RedirectURL:  g.cfg.RedirectURL,
		Scopes:       g.cfg.Scopes,
		Endpoint:     g.cfg.Endpoint,
	}
	cfg.Endpoint.AuthStyle = style

	token, err := cfg.TokenSource(ctx, &oauth2.Token{RefreshToken: current.RefreshToken}).Token()
	if err != nil {
		// net/http has just made this error, with the whole URL in it.
		if failed, ok := errors.AsType[*url.Error](err); ok {
			failed.URL = redact.RawURL(failed.URL)
		}
		return nil, err
	}
	return withTypeOf(current, token), nil
}

var errNothingToSpend = errors.New("store: there is no refresh token to refresh with")

func other(style oauth2.AuthStyle) oauth2.AuthStyle {
	if style == oauth2.AuthStyleInHeader {
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleInHeader
}

// isInvalidClient reports whether the server says that it did not authenticate the client. Such a
// server has not looked at the refresh token (RFC 6749 §5.2).
func isInvalidClient(err error) bool {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	return ok && refused.ErrorCode == "invalid_client" &&
		refused.Response.StatusCode < http.StatusInternalServerError
}

// tokenClient returns a copy of the context's HTTP client that keeps the rules of a refresh.
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

// readable is a transport that changes a token response into one that x/oauth2 can read. If one
// member has another form than x/oauth2 expects, x/oauth2 drops the whole response. That loses the
// tokens of a success, for which the old ones are spent, and the error code of a refusal.
type readable struct{ next http.RoundTripper }

// maxBody is how much x/oauth2 reads of a response, in bytes.
const maxBody = 1 << 20

func (t readable) RoundTrip(r *http.Request) (*http.Response, error) {
	next := t.next
	if next == nil {
		next = http.DefaultTransport
	}

	// A browser cannot be asked on the way, and follows no redirect here.
	usesFetch := fetch.SentBy(next)
	if usesFetch {
		r = r.Clone(r.Context())
		r.Header[fetch.Redirect] = []string{fetch.Fail}
	}
	resp, err := next.RoundTrip(r)
	if err == nil && usesFetch {
		resp.Body = fetch.EndWith(r.Context(), resp.Body, next)
	}
	if err != nil || resp.StatusCode < 200 || resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return resp, err
	}

	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Header = resp.Header.Clone()

	plain, isJSON := plainJSON(body)
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch isForm := media == "application/x-www-form-urlencoded" || media == "text/plain"; {
	case isForm && isJSON:
		// x/oauth2 goes by the media type, and would look for a form.
		resp.Header.Set("Content-Type", "application/json")
	case isForm:
		plain = plainForm(body)
	}

	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(plain)), int64(len(plain))
	resp.Header.Set("Content-Length", strconv.Itoa(len(plain)))
	return resp, nil
}

// plainForm changes expires_in into a whole number of seconds.
func plainForm(body []byte) []byte {
	form, err := url.ParseQuery(string(body))
	if err != nil || !form.Has("expires_in") {
		return body
	}
	life := secondsIn(form.Get("expires_in"))
	form.Set("expires_in", strconv.FormatInt(life, 10))
	return []byte(form.Encode())
}

// plainJSON changes expires_in into a whole number of seconds, and removes members that x/oauth2
// expects to be strings and that are not. As in x/oauth2, the case of a member's name does not
// count. A body that is not a JSON object only loses its byte order mark.
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
