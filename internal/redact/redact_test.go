package redact_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/internal/redact"
)

func TestName_WhatHoldsASecret(t *testing.T) {
	for name, secret := range map[string]bool{
		"access_token": true, "accessToken": true, "AccessToken": true, "ACCESS_TOKEN": true, "token": true, "tokens": true,
		"APIToken": true, "JWTToken": true, "AWSSecretKey": true, "X-Api-Key": true, "apikey": true, "api_key": true,
		"client_secret": true, "secrets": true, "Password": true, "user.password": true, "new-passwords": true, "passcode": true,
		"Authorization": true, "Set-Cookie": true, "code": true, "device_code": true, "code_verifier": true, "oauth_verifier": true,
		"SAMLResponse": true, "JSESSIONID": true, "session": true, "sid": true, "X-Csrf-Token": true, "csrftoken": true, "cvv": true,
		"Ocp-Apim-Subscription-Key": true, "key": true, "signature": true,

		"tokenizer": false, "keyboard": false, "page": false, "status_code": false, "author": false, "secretary": false,
		"passenger": false, "country_code": false, "monkey": false, "": false, "Content-Type": false, "address": false,
	} {
		assert.Equal(t, secret, redact.Name(name), "%q", name)
	}
}

func TestURL_HidesUserinfoFragmentAndSecretParameters(t *testing.T) {
	for in, want := range map[string]string{
		"https://api.test/a?page=2":                                       "https://api.test/a?page=2",
		"https://api.test/a?access_token=s3cret&b=1":                      "https://api.test/a?access_token=REDACTED&b=1",
		"https://api.test/a?b=1;token=s3cret":                             "https://api.test/a?b=1;token=REDACTED",
		"https://api.test/a?acc%65ss_token=s3cret":                        "https://api.test/a?acc%65ss_token=REDACTED",
		"https://me:s3cret@api.test/":                                     "https://REDACTED@api.test/",
		"https://api.test/#access_token=s3cret":                           "https://api.test/",
		"https://api.test/?next=https%3A%2F%2Fb.test%2F%3Ftoken%3Ds3cret": "https://api.test/?next=https%3A%2F%2Fb.test%2F%3Ftoken%3DREDACTED",
		"https://api.test/?next=https%3A%2F%2Fb.test%2Fa":                 "https://api.test/?next=https%3A%2F%2Fb.test%2Fa",
	} {
		u, err := url.Parse(in)
		require.NoError(t, err)
		assert.Equal(t, want, redact.URL(u))
		assert.Equal(t, want, redact.RawURL(in))
	}
	assert.Empty(t, redact.URL(nil))
}

func TestRawURL_WhatDoesNotParseKeepsNeitherUserinfoNorQuery(t *testing.T) {
	for in, want := range map[string]string{
		"http://me:s3cret@[::1?token=s3cret": "REDACTED@[::1?REDACTED",
		"http://a b?x=s3cret#s3cret":         "http://a b?REDACTED",
		"http://a\r\nb":                      "http://ab",
	} {
		assert.Equal(t, want, redact.RawURL(in))
	}
}
