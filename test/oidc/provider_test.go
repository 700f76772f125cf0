package oidc_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/client"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/oauth2"
)

const (
	clientID     = "web"
	clientSecret = "secret"
	callback     = "http://127.0.0.1/callback" // nobody listens there: the login stops before it
	connections  = 64                          // kept idle, so that many workers do not use the ports up
)

// provider is zitadel's example server, login page and all, over a stricter storage.
type provider struct {
	*strict
	oauth2.Config
	issuer        string
	revokeAt      string
	client        *http.Client
	tokenRequests atomic.Int64
	beforeToken   atomic.Pointer[func(context.Context)] // runs before each answer of the token endpoint
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	p := &provider{issuer: "http://" + server.Listener.Addr().String()}
	p.strict = &strict{
		Storage: storage.NewStorageWithClients(storage.NewUserStore(p.issuer), map[string]*storage.Client{
			clientID: storage.WebClient(clientID, clientSecret, callback),
		}),
		families: map[string]*family{},
		expiry:   map[string]time.Time{},
	}
	p.setLifetime(5 * time.Minute)
	router := exampleop.SetupServer(p.issuer, p.strict, nil, false, op.WithAllowInsecure())
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/oauth/token" {
			p.tokenRequests.Add(1)
			if wait := p.beforeToken.Load(); wait != nil {
				(*wait)(r.Context())
			}
		}
		router.ServeHTTP(w, r)
	})
	server.Start()
	t.Cleanup(server.Close)
	p.client = clientOf(server)

	found, err := client.Discover(t.Context(), p.issuer, p.client)
	require.NoError(t, err)
	require.Equal(t, p.issuer+"/oauth/token", found.TokenEndpoint)
	p.revokeAt = found.RevocationEndpoint
	p.Config = oauth2.Config{
		ClientID: clientID, ClientSecret: clientSecret, RedirectURL: callback,
		Scopes: []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeOfflineAccess},
		Endpoint: oauth2.Endpoint{
			AuthURL: found.AuthorizationEndpoint, TokenURL: found.TokenEndpoint, AuthStyle: oauth2.AuthStyleInHeader,
		},
	}
	return p
}

func clientOf(server *httptest.Server) *http.Client {
	c := server.Client()
	c.Transport.(*http.Transport).MaxIdleConnsPerHost = connections
	return c
}

// context is the test's, and has x/oauth2 use the client whose connections end with the provider.
func (p *provider) context(t *testing.T) context.Context {
	return context.WithValue(t.Context(), oauth2.HTTPClient, p.client)
}

// login goes the way of a browser: the authorization code flow with PKCE, through the login page.
func (p *provider) login(t *testing.T) *oauth2.Token {
	t.Helper()
	browser := *p.client
	browser.CheckRedirect = func(next *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(next.URL.String(), callback) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	verifier := oauth2.GenerateVerifier()
	page, err := browser.Get(p.AuthCodeURL("state", oauth2.AccessTypeOffline, oauth2.S256ChallengeOption(verifier)))
	require.NoError(t, err)
	require.NoError(t, page.Body.Close())
	require.Equal(t, "/login/username", page.Request.URL.Path)

	answer, err := browser.PostForm(page.Request.URL.String(), url.Values{
		"username": {"test-user2"}, "password": {"verysecure"}, "id": {page.Request.URL.Query().Get("authRequestID")},
	})
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	back, err := answer.Location()
	require.NoError(t, err, "the login was refused")
	require.Equal(t, "state", back.Query().Get("state"))

	token, err := p.Exchange(p.context(t), back.Query().Get("code"), oauth2.VerifierOption(verifier))
	require.NoError(t, err)
	require.NotEmpty(t, token.AccessToken)
	require.NotEmpty(t, token.RefreshToken)
	return token
}

// refresh is the refresh grant by plain x/oauth2, without axle.
func (p *provider) refresh(t *testing.T, refreshToken string) (*oauth2.Token, error) {
	return p.TokenSource(p.context(t), &oauth2.Token{RefreshToken: refreshToken}).Token()
}

// revoke is RFC 7009: it ends an access token, or a refresh token and its access token.
func (p *provider) revoke(ctx context.Context, token string) error {
	return client.CallRevokeEndpoint(ctx, &client.RevokeRequest{Token: token, ClientID: clientID, ClientSecret: clientSecret}, nil, p)
}

// GetRevokeEndpoint and HttpClient make p a client.RevokeCaller.
func (p *provider) GetRevokeEndpoint() string { return p.revokeAt }

func (p *provider) HttpClient() *http.Client { return p.client }

// strict is zitadel's example storage, which rotates refresh tokens already, and beyond that notices when one is used again: it
// is recorded and refused, and its whole family ends (RFC 9700 §4.14.2).
type strict struct {
	*storage.Storage

	mu        sync.Mutex // makes a check and what follows one step; the example's own lock does not cover GetRefreshTokenInfo
	families  map[string]*family
	expiry    map[string]time.Time // by access token's id
	lifetime  time.Duration
	refreshes int
	reused    []string
}

// family is the refresh tokens that came out of one login.
type family struct{ current string }

// setLifetime is for the access tokens that are issued from now on.
func (s *strict) setLifetime(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lifetime = d
}

func (s *strict) refreshCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refreshes
}

func (s *strict) reusedTokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.reused)
}

// check refuses a refresh token that has been used. The lock is held.
func (s *strict) check(ctx context.Context, refreshToken string) error {
	f := s.families[refreshToken]
	if f == nil || f.current == refreshToken {
		return nil // the example knows whether it is one
	}
	s.reused = append(s.reused, refreshToken)
	if err := s.Storage.RevokeToken(ctx, f.current, "", clientID); err != nil {
		return err
	}
	return oidc.ErrInvalidGrant().WithDescription("the refresh token has been used before")
}

func (s *strict) TokenRequestByRefreshToken(ctx context.Context, refreshToken string) (op.RefreshTokenRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx, refreshToken); err != nil {
		return nil, err
	}
	return s.Storage.TokenRequestByRefreshToken(ctx, refreshToken)
}

// CreateAccessAndRefreshTokens checks again: of two requests with one token both may have come as far as this.
func (s *strict) CreateAccessAndRefreshTokens(
	ctx context.Context, request op.TokenRequest, current string,
) (id, refreshToken string, expires time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx, current); err != nil {
		return "", "", time.Time{}, err
	}
	if id, refreshToken, _, err = s.Storage.CreateAccessAndRefreshTokens(ctx, request, current); err != nil {
		return "", "", time.Time{}, err
	}
	f := s.families[current]
	if f == nil {
		f = &family{}
	} else {
		s.refreshes++
	}
	f.current = refreshToken
	s.families[refreshToken] = f
	s.expiry[id] = time.Now().Add(s.lifetime)
	return id, refreshToken, s.expiry[id], nil
}

func (s *strict) GetRefreshTokenInfo(ctx context.Context, clientID, token string) (userID, tokenID string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Storage.GetRefreshTokenInfo(ctx, clientID, token)
}

func (s *strict) RevokeToken(ctx context.Context, token, userID, clientID string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Storage.RevokeToken(ctx, token, userID, clientID)
}

func (s *strict) SetIntrospectionFromToken(ctx context.Context, answer *oidc.IntrospectionResponse, id, subject, clientID string) error {
	s.mu.Lock()
	expires := s.expiry[id]
	s.mu.Unlock()
	if !time.Now().Before(expires) {
		return oidc.ErrInvalidRequest().WithDescription("the access token has expired")
	}
	return s.Storage.SetIntrospectionFromToken(ctx, answer, id, subject, clientID)
}
