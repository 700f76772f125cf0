package redact

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file has the one list of names that hold secrets. It decides for headers, query parameters,
// path parameters and fields of bodies and log records. It also decides which headers may follow a
// redirect to another origin.

// A name is compared in lower case and without separators: "new-password", "newPassword" and
// "NEWPASSWORD" are all "newpassword". The lists below differ in where in such a name their entries
// count.
var (
	// anywhere lists texts that are so long and peculiar that they count at any position, also in
	// the middle of a word: authtoken, newpassword, jsessionid.
	anywhere = []string{
		// Passwords.
		"password", "passwd", "pwd", "passphrase", "passcode", "passkey", "pswd", "mnemonic",
		// Tokens.
		"token", "tkn", "jwt", "bearer", "credential", "authorization", "basicauth", "samlresponse",
		"samlrequest",
		// Secrets and keys. A "key" is harmless (cache_key, public_key) unless a certain word comes
		// before it.
		"secret", "hmac", "privkey", "apikey", "accesskey", "privatekey", "signingkey", "signkey",
		"encryptionkey", "encryptkey", "decryptionkey", "accountkey", "sharedkey",
		"subscriptionkey", "sessionkey", "consumerkey", "masterkey", "authkey", "appkey",
		"applicationkey", "servicekey", "adminkey", "functionkey", "functionskey", "licensekey",
		"deploykey", "storagekey", "clientkey", "serverkey", "writekey", "sshkey", "pgpkey",
		"gpgkey", "rsakey", "aeskey", "rootkey", "recoverykey", "symmetrickey", "merchantkey",
		"webhookkey", "cryptokey", "cipherkey", "securitykey", "integrationkey", "connectionstring",
		// Signatures, with which a request may be sent again.
		"signature", "codeverifier", "oauthverifier",
		// Sessions.
		"cookie", "sessionid", "sessid", "csrf", "xsrf",
		// Codes. A code alone is harmless, as in status_code.
		"authcode", "authorizationcode", "oauthcode", "verificationcode", "otpcode", "mfacode",
		"2facode", "tfacode", "twofactorcode", "onetimecode", "smscode", "devicecode", "usercode",
		"recoverycode", "backupcode", "securitycode", "logincode", "accesscode", "pincode",
		"onetimepass",
		// Payment cards.
		"cardnumber", "creditcard",
	}

	// asWord lists texts that count as a whole word, in the singular or the plural: user_otp,
	// authType.
	asWord = []string{"auth", "otp", "totp", "hotp", "assertion", "psk", "cvv", "cvc"}

	// asLastWord lists texts that count as the last word: user_pin, but not pin_count.
	asLastWord = []string{
		"pass", "pw", "pin", "sig", "sas", "session", "ticket", "authentication", "dsn", "dpop",
	}

	// asWhole lists texts that count as the whole name, with or without an "X-" before them.
	asWhole = []string{
		"key", "code", "sid", "connectsid", "sign", "mfa", "ccnumber", "dpopproof", "pkey",
		"wwwauthenticate", "proxyauthenticate", "authenticationinfo", "proxyauthenticationinfo",
	}

	// harmless lists the exceptions. An entry of anywhere does not count inside one of these.
	harmless = []string{
		"tokeniz", "tokenise", "tokentype", "tokenexpir", "tokenendpoint", "tokencount",
		"tokenlimit", "tokenbudget", "tokensused",
		// A language model's bill.
		"maxtokens", "maxnewtokens", "mintokens", "prompttokens", "completiontokens",
		"maxcompletiontokens", "totaltokens", "inputtokens", "outputtokens", "cachedtokens",
		"reasoningtokens", "thinkingtokens", "predictiontokens", "audiotokens", "texttokens",
		"imagetokens", "budgettokens", "numtokens", "contexttokens", "remainingtokens",
		"tokensremaining", "tokensper", "tokenusage", "ratelimittokens", "ratelimitlimittokens",
		"ratelimitremainingtokens", "ratelimitresettokens", "secretary", "secretariat",
		"allowcredentials", "jsfetchcredentials", "authorizationendpoint", "authorizationserver",
		// Names of a key, which are not the key.
		"accesskeyid", "apikeyid", "signingkeyid", "masterkeyid",
		// Postal codes of India.
		"postalpincode",
	}
)

// position says where in a name an entry of the lists counts.
type position uint8

const (
	anyPosition position = iota
	isWord
	isLastWord
	isWhole
)

// needle is an entry of one of the lists.
type needle struct {
	text     string
	position position
	unless   []phrase
}

// phrase is a harmless text that contains a needle. The offset of the needle is in bytes.
type phrase struct {
	text   string
	offset int
}

// needles has the entries of the lists by a hash of their first two bytes. Most hashes have no
// entry. So a name is read once, however long the lists are.
var needles = sortedNeedles()

func sortedNeedles() (byHash [1 << 10][]needle) {
	lists := map[position][]string{
		anyPosition: anywhere,
		isWord:      asWord,
		isLastWord:  asLastWord,
		isWhole:     asWhole,
	}

	for where, list := range lists {
		for _, text := range list {
			n := needle{text: text, position: where}
			for _, h := range harmless {
				if offset := strings.Index(h, text); offset >= 0 && where == anyPosition {
					n.unless = append(n.unless, phrase{h, offset})
				}
			}

			hash := hashOf(text[0], text[1])
			byHash[hash] = append(byHash[hash], n)
		}
	}
	return byHash
}

func hashOf(first, second byte) int { return int(first&0x1f)<<5 | int(second&0x1f) }

// Names decides which names hold secrets. The zero value knows the common names, and a user may add
// others. Names must not be changed while it is used.
type Names struct {
	secret  []string
	allowed []string
}

// AddSecret adds names that hold secrets. They also count as words of a longer name: "ssn" covers
// customer_ssn too.
func (n *Names) AddSecret(names ...string) { n.secret = appendSpelled(n.secret, names) }

// Allow adds whole names that hold no secrets, in any spelling: "secretPath" covers secret_path
// too. A name that is also added as a secret holds one.
func (n *Names) Allow(names ...string) { n.allowed = appendSpelled(n.allowed, names) }

func appendSpelled(list, names []string) []string {
	for _, name := range names {
		if letters, _ := appendSpelling(name, nil, nil); len(letters) > 0 {
			list = append(list, string(letters))
		}
	}
	return list
}

// IsAdded reports whether a user has added this name, or one that is a word of it.
func (n *Names) IsAdded(name string) bool {
	s := spelling{}
	s.letters, s.starts = appendSpelling(name, nil, nil)
	return s.hasAny(n.secret)
}

// Secret reports whether a header, a parameter or a field of this name holds a secret. It does not
// allocate for names of up to 64 bytes.
func (n *Names) Secret(name string) bool {
	var roomForLetters [64]byte
	var roomForStarts [64]bool
	s := spelling{}
	s.letters, s.starts = appendSpelling(name, roomForLetters[:0], roomForStarts[:0])

	if s.hasAny(n.secret) {
		return true
	}
	if len(n.allowed) > 0 && slices.Contains(n.allowed, string(s.letters)) {
		return false
	}

	for i := 1; i < len(s.letters); i++ {
		list := needles[hashOf(s.letters[i-1], s.letters[i])]
		for k := range list {
			if s.has(&list[k], i-1) {
				return true
			}
		}
	}
	return false
}

// spelling is a name in lower case and without separators. For each byte it has whether a word
// starts there.
type spelling struct {
	letters []byte
	starts  []bool
}

// appendSpelling appends the spelling of a name. A word starts after a separator, at a capital, and
// where digits begin or end. The last of several capitals starts a word if a small letter follows
// it: APIToken is api and token.
func appendSpelling(name string, letters []byte, starts []bool) ([]byte, []bool) {
	before := separator
	for i := 0; i < len(name); {
		r, size := rune(name[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(name[i:])
			r = fold(r)
		}
		i += size

		now := kindOf(r)
		if now == separator {
			before = separator
			continue
		}
		start := before == separator || (now == digit) != (before == digit)
		if now == capital && before == capital {
			start = i < len(name) && kindOf(rune(name[i])) == small
		} else if now == capital {
			start = true
		}

		// One letter may be several bytes, of which only the first one may start a word.
		if now == capital {
			r = unicode.ToLower(r)
		}
		from := len(letters)
		letters = utf8.AppendRune(letters, r)
		for range len(letters) - from {
			starts = append(starts, start)
			start = false
		}
		before = now
	}
	return letters, starts
}

// kind is the kind of a character in a name.
type kind uint8

const (
	separator kind = iota
	digit
	small // or a letter without case
	capital
)

func kindOf(r rune) kind {
	switch {
	case r >= 'a' && r <= 'z':
		return small
	case r >= 'A' && r <= 'Z':
		return capital
	case r >= '0' && r <= '9':
		return digit
	case r < utf8.RuneSelf:
		return separator
	case unicode.IsUpper(r):
		return capital
	case unicode.IsLetter(r):
		return small
	case unicode.IsDigit(r):
		return digit
	}
	return separator
}

// fold returns the ASCII letter that counts as the same letter when encoding/json compares names
// without case.
func fold(r rune) rune {
	switch r {
	case 'K': // the Kelvin sign
		return 'k'
	case 'ſ': // the long s
		return 's'
	}
	return r
}

// has reports whether the needle counts at the byte i.
func (s *spelling) has(n *needle, i int) bool {
	end := i + len(n.text)
	if end > len(s.letters) || string(s.letters[i:end]) != n.text {
		return false
	}
	switch n.position {
	case isWord:
		return s.starts[i] && s.endsWord(end)
	case isLastWord:
		return s.starts[i] && s.endsName(end)
	case isWhole:
		return (i == 0 || i == 1 && s.letters[0] == 'x') && s.endsName(end)
	case anyPosition:
	}

	for _, h := range n.unless {
		from := i - h.offset
		to := from + len(h.text)
		if from >= 0 && to <= len(s.letters) && string(s.letters[from:to]) == h.text {
			return false
		}
	}
	return true
}

// hasAny reports whether one of the texts is one or several words of the name.
func (s *spelling) hasAny(texts []string) bool {
	for _, text := range texts {
		n := needle{text: text, position: isWord}
		for i := range s.letters {
			if s.has(&n, i) {
				return true
			}
		}
	}
	return false
}

// endsWord reports whether a word, or its singular, ends before the byte i.
func (s *spelling) endsWord(i int) bool {
	return s.startsAt(i) || s.letters[i] == 's' && s.startsAt(i+1)
}

func (s *spelling) startsAt(i int) bool { return i >= len(s.letters) || s.starts[i] }

// endsName reports whether only digits follow from the byte i on: password2.
func (s *spelling) endsName(i int) bool {
	for ; i < len(s.letters); i++ {
		if c := s.letters[i]; c < '0' || c > '9' {
			return false
		}
	}
	return true
}
