package redact_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/axlehttp/axle/internal/redact"
)

// secretNames are names that hold secrets, as public APIs, identity providers and frameworks spell them.
var secretNames = []string{
	// Passwords.
	"password", "Password", "PASSWORD", "passWord", "newpassword", "oldPassword", "password2", "password_confirmation",
	"user.password", "new-passwords", "user[password]", "passwd", "pwd", "userpwd", "pass", "db_pass", "smtpPass", "pw",
	"passphrase", "passcode", "passkey", "pin", "card_pin", "userPIN", "mnemonic",

	// Tokens.
	"token", "tokens", "access_token", "accessToken", "AccessToken", "ACCESS_TOKEN", "accesstoken", "authtoken",
	"sessiontoken", "refresh_token", "id_token", "APIToken", "JWTToken", "x_token", "token2", "tkn", "authtkn", "jwt",
	"jwt_assertion", "bearer", "client_assertion", "assertion", "credential", "credentials", "SAMLResponse", "SAMLRequest",
	"ticket", "casTicket",

	// Secrets and keys.
	"secret", "secrets", "client_secret", "clientsecret", "secretPath", "AWSSecretKey", "key", "apikey", "api_key", "apiKey",
	"API-KEY", "google_apikey", "access_key", "secret_access_key", "private_key", "privateKey", "secret_key",
	"signing_key", "signingkey", "encryption_key", "account_key", "AccountKey", "shared_key", "SharedAccessKey",
	"subscription-key", "consumer_key", "master_key", "auth_key", "hmac", "hmac_sha256", "psk", "connection_string",

	// Signatures.
	"sig", "signature", "sign", "sas", "X-Amz-Signature", "X-Goog-Credential", "code_verifier", "oauth_verifier",

	// One-time codes.
	"code", "otp", "totp", "totpCode", "user_otp", "mfa_code", "mfaCode", "sms_code", "device_code", "user_code",
	"authorization_code", "verification_code", "recovery_codes", "2fa_code", "security_code", "auth",

	// Sessions.
	"session", "laravel_session", "sid", "connect.sid", "sessionid", "session_id", "JSESSIONID", "PHPSESSID",
	"ASP.NET_SessionId", "cookie", "csrf", "csrftoken", "csrfmiddlewaretoken", "_csrf", "xsrf", "XSRF-TOKEN",

	// Payment cards.
	"cvv", "cvv2", "cvc", "card_number", "cardNumber", "credit_card",

	// Headers.
	"Authorization", "Proxy-Authorization", "X-Authorization", "Authentication", "DPoP", "Cookie", "Cookie2", "Set-Cookie",
	"Www-Authenticate", "Proxy-Authenticate", "Authentication-Info", "X-Api-Key", "Api-Key", "X-Auth-Token", "X-Auth-Key",
	"X-Amz-Security-Token", "X-Goog-Api-Key", "Private-Token", "Job-Token", "X-Vault-Token", "X-Shopify-Access-Token",
	"Dd-Api-Key", "Dd-Application-Key", "X-Session-Id", "X-Session", "Ocp-Apim-Subscription-Key", "X-Functions-Key",
	"X-Csrf-Token", "X-Xsrf-Token", "X-Hub-Signature-256", "Stripe-Signature", "Cf-Access-Client-Secret",
	"X-Parse-Master-Key",

	// Spellings that a parser would take for the name, or that hide it.
	"toKen", "paſſword", "pass\u200bword", "access_token\x00",
	strings.Repeat("long_", 20) + "token",
}

// harmlessNames are names that resemble those, or have words of theirs in them.
var harmlessNames = []string{
	"", "page", "id", "name", "user", "address", "Content-Type", "Accept", "Host", "Etag", "X-Request-Id", "Idempotency-Key",
	"Sec-Websocket-Key", "Access-Control-Allow-Credentials", "Dpop-Nonce", "X-Ratelimit-Remaining-Tokens",
	"Strict-Transport-Security", "Content-Security-Policy",

	"tokenizer", "tokenize", "token_type", "tokenType", "issued_token_type", "expires_in", "token_expires_at", "max_tokens",
	"maxTokens", "budget_tokens", "num_tokens", "remaining_tokens", "tokens_per_minute", "token_usage", "prompt_tokens", "completion_tokens", "total_tokens", "cache_read_input_tokens", "promptTokenCount",

	"keyboard", "monkey", "hotkey", "keynote", "public_key", "primary_key", "partitionKey", "cache_key", "key_id", "keys",
	"keyword", "AccessKeyId",

	"author", "authority", "authors", "authenticated", "authorized", "oauth_version",

	"compass", "bypass", "passenger", "passage", "passing", "pass_count", "passport_id",
	"pinned", "opinion", "spin", "pinterest", "pin_count",

	"encoder", "encoding", "country_code", "zip_code", "status_code", "error_code", "codec", "code_name", "barcode",
	"promo_code",

	"secretary", "secretariat", "design", "signal", "assign", "sigma", "signup", "hotel", "hotpink", "optional", "adopt",
	"session_count", "sessions", "AccountSid", "tickets", "ticket_id", "ticketing", "sass", "discard", "card", "cardinal",
	strings.Repeat("long_", 20) + "name",
}

func TestName_HoldsASecretAlsoInsideLowerCaseWords(t *testing.T) {
	for _, name := range secretNames {
		assert.True(t, redact.Name(name), "%q", name)
	}
}

func TestName_IsHarmlessWhereItOnlyResemblesASecrets(t *testing.T) {
	for _, name := range harmlessNames {
		assert.False(t, redact.Name(name), "%q", name)
	}
}

func TestName_AllocatesNothingForNamesOfUpTo64Bytes(t *testing.T) {
	long := strings.Repeat("x", 63) + "Y"
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		redact.Name("Content-Type")
		redact.Name("X-Shopify-Access-Token")
		redact.Name("pass\u200bword")
		redact.Name(long)
	}))
}

func TestNames_AUsersOwnAreAddedToBothLists(t *testing.T) {
	var names redact.Names
	names.AddSecret("ssn", "Tax-Id", "")
	names.Allow("secretPath", "mixed")
	names.AddSecret("mixed")
	for name, secret := range map[string]bool{
		"ssn": true, "customer_ssn": true, "customerSSN": true, "ssns": true, "taxId": true, "tax_id_number": true,
		"lessness": false, "syntaxidea": false,

		"secretPath": false, "secret_path": false, "Secret-Path": false,
		"secretPathToken": true, "password": true,

		"mixed": true,
	} {
		assert.Equal(t, secret, names.Secret(name), "%q", name)
	}
	assert.True(t, redact.Name("secretPath"), "the common list is another")
	assert.False(t, redact.Name("ssn"))
}

func BenchmarkName(b *testing.B) {
	for _, name := range []string{"Accept", "Content-Type", "Strict-Transport-Security", "X-Shopify-Access-Token"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				redact.Name(name)
			}
		})
	}
}
