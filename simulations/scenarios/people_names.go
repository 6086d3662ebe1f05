package scenarios

import "strings"

// readings of the names that generators use, in full-width katakana.
var readings = map[string]string{
	"佐藤": "サトウ", "鈴木": "スズキ", "田中": "タナカ", "髙橋": "タカハシ", "高橋": "タカハシ",
	"山﨑": "ヤマザキ", "山崎": "ヤマザキ", "𠮷田": "ヨシダ", "吉田": "ヨシダ", "渡邉": "ワタナベ", "渡邊": "ワタナベ",
	"齋藤": "サイトウ", "斎藤": "サイトウ", "林": "ハヤシ", "森": "モリ", "勅使河原": "テシガワラ",
	"菊池": "キクチ", "木村": "キムラ", "一": "ハジメ",
	"陽菜": "ヒナ", "蓮": "レン", "大翔": "ヒロト", "結": "ユイ", "葵": "アオイ", "健太郎": "ケンタロウ",
	"玲": "レイ", "奈々恵": "ナナエ", "翔": "ショウ",
}

// readingOf returns a name's reading in full-width katakana, or "".
func readingOf(name string) string {
	if reading, ok := readings[name]; ok {
		return reading
	}
	var b strings.Builder
	for _, r := range name {
		switch {
		case r >= 'ァ' && r <= 'ヶ' || r == 'ー' || r == '・':
			b.WriteRune(r)
		case r >= 'ぁ' && r <= 'ゖ': // hiragana lies 0x60 below katakana
			b.WriteRune(r + 'ァ' - 'ぁ')
		default:
			return ""
		}
	}
	return b.String()
}

// Pairs of full-width and half-width katakana; voiced sounds take two half-width runes.
var widths = strings.Fields(`ガ ｶﾞ ギ ｷﾞ グ ｸﾞ ゲ ｹﾞ ゴ ｺﾞ ザ ｻﾞ ジ ｼﾞ ズ ｽﾞ ゼ ｾﾞ ゾ ｿﾞ ダ ﾀﾞ ヂ ﾁﾞ ヅ ﾂﾞ デ ﾃﾞ ド ﾄﾞ
	バ ﾊﾞ ビ ﾋﾞ ブ ﾌﾞ ベ ﾍﾞ ボ ﾎﾞ パ ﾊﾟ ピ ﾋﾟ プ ﾌﾟ ペ ﾍﾟ ポ ﾎﾟ ヴ ｳﾞ
	ア ｱ イ ｲ ウ ｳ エ ｴ オ ｵ カ ｶ キ ｷ ク ｸ ケ ｹ コ ｺ サ ｻ シ ｼ ス ｽ セ ｾ ソ ｿ タ ﾀ チ ﾁ ツ ﾂ テ ﾃ ト ﾄ
	ナ ﾅ ニ ﾆ ヌ ﾇ ネ ﾈ ノ ﾉ ハ ﾊ ヒ ﾋ フ ﾌ ヘ ﾍ ホ ﾎ マ ﾏ ミ ﾐ ム ﾑ メ ﾒ モ ﾓ ヤ ﾔ ユ ﾕ ヨ ﾖ
	ラ ﾗ リ ﾘ ル ﾙ レ ﾚ ロ ﾛ ワ ﾜ ヲ ｦ ン ﾝ ァ ｧ ィ ｨ ゥ ｩ ェ ｪ ォ ｫ ャ ｬ ュ ｭ ョ ｮ ッ ｯ ー ｰ ・ ･`)

var (
	toHalf = strings.NewReplacer(widths...)
	toFull = strings.NewReplacer(turned(widths)...)
)

func turned(pairs []string) []string {
	out := make([]string, len(pairs))
	for i := 0; i < len(pairs); i += 2 {
		out[i], out[i+1] = pairs[i+1], pairs[i]
	}
	return out
}

func halfWidth(s string) string { return toHalf.Replace(s) }
func fullWidth(s string) string { return toFull.Replace(s) }

// longName is above 40 characters, as some people's names are.
const longName = "マリア・デル・カルメン・フェルナンデス・デ・ラ・クルス・サンタマリア・"

var singleNames = []string{"一", "森", "林", "結", "玲"}

// name draws a whole name and its reading.
func (c *crowd) name(family string) (name, kana string) {
	given := c.given.turn(c.draw)
	forms := c.Names.Forms
	reading := readingOf(family) + " " + readingOf(given)
	x := c.draw.unit()
	switch {
	case x < forms.LongNameOver40Chars:
		name = longName + readingOf(given) + "・" + readingOf(family)
		reading = name
	case x < forms.LongNameOver40Chars+forms.SingleCharacterWholeName:
		name = singleNames[c.draw.below(len(singleNames))]
		reading = readingOf(name)
	case x < forms.LongNameOver40Chars+forms.SingleCharacterWholeName+forms.MiddleDot:
		name = readingOf(given) + "・" + readingOf(family)
		reading = name
	default:
		name = family + c.space() + given
	}
	return name, c.reading(reading)
}

// space draws what stands between family and given name.
func (c *crowd) space() string {
	forms := c.Names.Forms
	x := c.draw.unit() * (forms.IdeographicSpaceBetween + forms.NoSpaceBetween + forms.ASCIISpaceBetween)
	switch {
	case x < forms.IdeographicSpaceBetween:
		return "　"
	case x < forms.IdeographicSpaceBetween+forms.NoSpaceBetween:
		return ""
	}
	return " "
}

// reading draws how a reading is written.
func (c *crowd) reading(full string) string {
	forms := c.Names.Forms
	x := c.draw.unit() * (forms.HalfWidthKanaReading + forms.NoReading + forms.FullWidthKanaReading)
	switch {
	case x < forms.HalfWidthKanaReading:
		return halfWidth(full)
	case x < forms.HalfWidthKanaReading+forms.NoReading:
		return ""
	}
	return full
}
