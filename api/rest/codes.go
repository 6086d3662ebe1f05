package rest

import "net/http"

// Hints: what to do next.
var (
	hintForm     = Sentence{"送る内容を /openapi.json の定義と見比べて直してください。", "Compare what you send with /openapi.json and correct it."}
	hintRecord   = Sentence{"記録の作り方を docs/spec と見比べて直してください。", "Compare how the record is made with docs/spec and correct it."}
	hintScreen   = Sentence{"同意画面(規約)の内容を確かめ、必要なら新しい版を公開してください。", "Check what the consent screen says; publish a new version of the terms if need be."}
	hintConsent  = Sentence{"本人に画面を示し、同意を得てからやり直してください。", "Show the person the screen, and try again once consent is given."}
	hintNothing  = Sentence{"何もする必要はありません。記録はそのままです。", "There is nothing to do: what is recorded stands."}
	hintAsk      = Sentence{"権限を持つ担当者に頼んでください。", "Ask somebody who is entitled to."}
	hintRetry    = Sentence{"少し待って、同じ Idempotency-Key でもう一度送ってください。", "Wait a moment and send it again with the same Idempotency-Key."}
	hintAgain    = Sentence{"同じ Idempotency-Key で問い合わせてください。二重に記録されることはありません。", "Ask again with the same Idempotency-Key; nothing is recorded twice."}
	hintOperator = Sentence{"このノードの運用担当者に知らせてください。", "Tell the operator of this node."}
	hintName     = Sentence{"名前や番号を確かめてください。", "Check the name or number."}
	hintTime     = Sentence{"日付と期間を確かめてください。", "Check dates and periods."}
	hintLaw      = Sentence{"法の根拠と必要な書類を確かめてください。", "Check the legal ground and the papers it needs."}
	hintContract = Sentence{"相手との契約の内容を確かめてください。", "Check the contract with the other party."}
	hintSensor   = Sentence{"センサーの登録と承認を確かめてください。", "Check the sensor's registration and approval."}
	hintSecret   = Sentence{"本人に秘密(端末か回復用の QR)を持ってきてもらい、POST /v1/people の secret に入れて登録してから、もう一度送ってください。鍵を一つずつなら GET /v1/proofs/handle で示せます。",
		"Have the person bring their secret (device or recovery QR), register it with POST /v1/people in secret, and ask again. One handle at a time, GET /v1/proofs/handle proves."}
	hintPasskey = Sentence{"本人に、同意画面でもう一度パスキーを使ってもらってください。使わずに同意することもできます。", "Have the person use the passkey on the consent screen once more; they can also agree without it."}
	hintProof   = Sentence{"大きさと番号を /v1/status の確定済みの値以下にしてください。", "Use sizes and indices that are at most those of /v1/status."}
)

func row(status int, ja, en string, hint Sentence) entry {
	return entry{status, Sentence{ja, en}, hint}
}

// unknownRefusal is the row for a code that this version does not know.
const unknownRefusal = "refused"

// codes is the one table from codes to what the outside sees.
var codes = merge(codesOfAPI, codesOfForm, codesOfRules, codesOfNode, codesOfPeople)

func merge(tables ...map[string]entry) map[string]entry {
	all := map[string]entry{}
	for _, t := range tables {
		for code, e := range t {
			if _, twice := all[code]; twice {
				panic("rest: two rows for " + code)
			}
			all[code] = e
		}
	}
	return all
}

// codesOfAPI are the codes of requests themselves.
var codesOfAPI = map[string]entry{
	codeJSON:            row(http.StatusBadRequest, "JSON として読めません。", "This is not well-formed JSON.", hintForm),
	codeJSONDuplicate:   row(http.StatusBadRequest, "JSON に同じ名前が二度あります。", "A name stands twice in the JSON.", hintForm),
	codeJSONDepth:       row(http.StatusBadRequest, "JSON の入れ子が深すぎます。", "The JSON is nested too deeply.", hintForm),
	codeOversize:        row(http.StatusRequestEntityTooLarge, "送られた内容が大きすぎます。", "The request is too large.", Sentence{"小さく分けて送ってください。", "Send it in smaller parts."}),
	codeBodySlow:        row(http.StatusRequestTimeout, "送られた内容が時間内に届ききりませんでした。", "The request did not come in time.", Sentence{"回線を確かめ、同じ Idempotency-Key でもう一度送ってください。何も記録されていません。", "Check the connection and send it again with the same Idempotency-Key; nothing was recorded."}),
	codeInvalid:         row(http.StatusBadRequest, "知らない項目があるか、必要な項目がないか、値の形が違います。", "A field is unknown, missing or of the wrong form.", hintForm),
	codeParameter:       row(http.StatusBadRequest, "URL の値の形が違います。", "A parameter of the URL has the wrong form.", hintForm),
	codeMedia:           row(http.StatusUnsupportedMediaType, "この種類の内容は受け取れません。", "This media type is not accepted here.", Sentence{"application/json で、圧縮せずに送ってください。", "Send application/json, not compressed."}),
	codeKey:             row(http.StatusBadRequest, "Idempotency-Key は 1 から 128 文字の印字できる ASCII です。", "An Idempotency-Key is 1 to 128 printable ASCII characters.", hintForm),
	codeAuth:            row(http.StatusUnauthorized, "トークンが要ります。", "This needs a token.", Sentence{"Authorization: Bearer で送ってください。", "Send it as Authorization: Bearer."}),
	codeToken:           row(http.StatusUnauthorized, "このトークンは知りません。", "The token is not known here.", Sentence{"このノードが出したトークンか、取り消されていないかを確かめてください。", "Check that this node issued it and that it was not revoked."}),
	codeNotFound:        row(http.StatusNotFound, "ここには何もありません。", "There is nothing here.", Sentence{"/openapi.json に入口の一覧があります。", "/openapi.json lists what there is."}),
	codeMethod:          row(http.StatusMethodNotAllowed, "この入口ではその操作はできません。", "That method is not possible here.", Sentence{"/openapi.json に操作の一覧があります。", "/openapi.json lists what is possible."}),
	codeNotFinal:        row(http.StatusServiceUnavailable, "このノードにはまだ確定した記録がありません。", "Nothing is final at this node yet.", hintRetry),
	codeBackupTo:        row(http.StatusConflict, "控えを開ける人が設定されていません。", "The settings name nobody who could open a backup.", Sentence{"config.json の backupTo に age の受取人を書いてください。", "Name age recipients in config.json (backupTo)."}),
	codeBusy:            row(http.StatusServiceUnavailable, "いま受け付けられる量を超えています。", "More is asked than can be taken at the moment.", hintRetry),
	codeTooMany:         row(http.StatusTooManyRequests, "トークンなしで待てる数を超えています。", "Too many without a token wait already.", Sentence{"少し待つか、トークンを添えて送ってください。", "Wait a moment, or send a token."}),
	codeStopping:        row(http.StatusServiceUnavailable, "このノードは止まるところです。", "This node is stopping.", Sentence{"少し待つか、ほかのノードに送ってください。", "Wait a moment, or ask another node."}),
	codeInternal:        row(http.StatusInternalServerError, "ノードの中で誤りが起きました。", "Something went wrong inside the node.", hintOperator),
	codeStorage:         row(http.StatusInternalServerError, "このノードの保存先に問題があり、答えられません。", "This node's storage is damaged or stopped; it does not answer.", hintOperator),
	codeDiskFull:        row(http.StatusServiceUnavailable, "このノードの保存先に空きがないため、いまはできません。何も失われていません。", "This node's disk has too little free space. Nothing was lost.", hintOperator),
	codeFull:            row(http.StatusConflict, "このノードの金庫がいっぱいで、新しい人・サービス・月の鍵を作れません。", "This node's vault is full: it takes no further person, service or month of records.", hintOperator),
	codeBeyond:          row(http.StatusNotFound, "確定した範囲の外です。", "This is beyond what is final.", hintProof),
	codeRecordUnknown:   row(http.StatusNotFound, "その記録はありません。", "There is no such record.", hintName),
	codeEvidenceUnknown: row(http.StatusNotFound, "その証拠はこのノードにありません。", "This node keeps no such evidence.", hintName),
	codeNoStatus:        row(http.StatusUnprocessableEntity, "この記録には、変わる状態がありません。", "The record has no status that could change.", hintNothing),
	codeNoReceipt:       row(http.StatusNotFound, "この記録に控えはありません。", "No receipt is made of this leaf.", hintNothing),
	codeNoHandle:        row(http.StatusConflict, "この本人の秘密の控えがこのノードにないため、記録がこれで全部であることを示せません。", "This node holds no copy of the person's secret, so it cannot prove that these are all the records.", hintSecret),
	codeNoClients:       row(http.StatusNotFound, "このノードは認可サーバーを動かしていません。", "This node runs no authorization server.", hintOperator),
	codeRealClock:       row(http.StatusConflict, "この組織は実際の時刻で動いています。", "This consortium runs on the real clock.", hintNothing),
	codeClockBack:       row(http.StatusConflict, "時計は戻せません。", "The clock does not go back.", hintTime),
	codeSlow:            row(http.StatusServiceUnavailable, "読み取りが遅いため、配信を切りました。", "The reader was too slow; the stream was ended.", Sentence{"Last-Event-ID で続きから読んでください。", "Go on from Last-Event-ID."}),
	unknownRefusal:      row(http.StatusConflict, "受け付けられませんでした。", "It was refused.", Sentence{"コードの意味はこのノードより新しい版の文書にあります。", "The code is explained in documents newer than this node."}),
}

// codesOfForm are refusals of bytes.
var codesOfForm = map[string]entry{
	"cbor.malformed":     row(http.StatusBadRequest, "CBOR として読めません。", "This is not well-formed CBOR.", hintRecord),
	"cbor.not-canonical": row(http.StatusBadRequest, "CBOR の書き方が一つに定まった形ではありません。", "The CBOR is not in its one canonical spelling.", hintRecord),
	"cbor.oversize":      row(http.StatusRequestEntityTooLarge, "CBOR が大きすぎます。", "The CBOR is too large.", hintRecord),
	"cbor.depth":         row(http.StatusBadRequest, "CBOR の入れ子が深すぎます。", "The CBOR is nested too deeply.", hintRecord),
	"cbor.duplicate-key": row(http.StatusBadRequest, "CBOR に同じキーが二度あります。", "A key stands twice in the CBOR.", hintRecord),
	"record.malformed":   row(http.StatusBadRequest, "記録の形が違います。", "The record is malformed.", hintRecord),
	"record.oversize":    row(http.StatusRequestEntityTooLarge, "記録が大きすぎます。", "The record is too large.", hintRecord),
	"record.padding":     row(http.StatusBadRequest, "記録の余白が決まりと違います。", "The record is padded in another way than it must be.", hintRecord),
	"record.version":     row(http.StatusBadRequest, "この版の記録は知りません。", "Records of this version are not known.", hintRecord),
	"record.kind":        row(http.StatusBadRequest, "この種類の記録はここでは受け付けません。", "Records of this kind are not accepted here.", hintRecord),
	"record.duplicate":   row(http.StatusConflict, "同じ番号の記録がもうあります。", "A record with this id is there already.", hintNothing),
	"signature.invalid":  row(http.StatusForbidden, "署名が合いません。", "The signature does not verify.", Sentence{"署名した鍵と、署名した内容を確かめてください。", "Check which key signed, and what it signed."}),

	"submission.issuer":   row(http.StatusForbidden, "送り手が加盟していないか、もう脱退しています。", "The issuer is unknown or has left.", hintAsk),
	"submission.replayed": row(http.StatusConflict, "この送信番号は使われています。", "This submission number was used before.", hintAgain),
	"submission.expired":  row(http.StatusServiceUnavailable, "期限までに台帳に入らず、これからも入りません。", "It did not enter the ledger in time, and never will.", Sentence{"同じ Idempotency-Key でもう一度送ると、新しい試みになります。", "Sending it again with the same Idempotency-Key is a new attempt."}),
	"submission.root":     row(http.StatusBadRequest, "記録が署名されたものと違います。", "The records are not those that were signed.", hintRecord),
	"submission.too-late": row(http.StatusBadRequest, "送信の期限が先すぎます。", "The submission may live too long.", hintTime),
	"batch.full":          row(http.StatusServiceUnavailable, "この回の記録がいっぱいでした。", "The batch was full.", hintRetry),
	"batch.header":        row(http.StatusInternalServerError, "まとめ役の署名か期が違います。", "The batch's leader, signature or epoch is wrong.", hintOperator),
	"batch.previous":      row(http.StatusInternalServerError, "直前のまとまりに続いていません。", "The batch does not follow the last one.", hintOperator),
	"batch.time":          row(http.StatusInternalServerError, "まとまりの時刻が決まりに合いません。", "The time of the batch breaks the rules.", hintOperator),
	"batch.cited":         row(http.StatusInternalServerError, "引用した確定点が正しくないか古すぎます。", "The cited checkpoint is wrong or too old.", hintOperator),
	"batch.malformed":     row(http.StatusInternalServerError, "まとまりの形が違います。", "The batch is malformed.", hintOperator),
}

// codesOfNode are the codes of outbox, custody and node.
var codesOfNode = map[string]entry{
	"outbox.busy":            row(http.StatusServiceUnavailable, "処理中のものが多く、いまは受け付けられません。", "Too much is under way; this cannot be taken at the moment.", hintRetry),
	"outbox.no-leader":       row(http.StatusServiceUnavailable, "いま、まとめ役のノードがいません。", "The consortium has no leader at the moment.", hintRetry),
	"outbox.storage":         row(http.StatusServiceUnavailable, "保存できなかったため、何も送っていません。", "The request could not be stored; nothing was sent.", hintRetry),
	"outbox.closed":          row(http.StatusServiceUnavailable, "このノードは止まるところです。", "This node is stopping.", Sentence{"少し待つか、ほかのノードに送ってください。", "Wait a moment, or ask another node."}),
	"outbox.stopped":         row(http.StatusInternalServerError, "保存に失敗し、このノードは書き込みを止めました。", "This node stopped writing after its storage failed.", hintOperator),
	"outcome.unknown":        row(http.StatusServiceUnavailable, "結果がまだわかりません。", "The outcome is not known yet.", hintAgain),
	"idempotency-key.reused": row(http.StatusConflict, "この Idempotency-Key は別の内容に使われています。", "The Idempotency-Key stands for another request.", Sentence{"新しい鍵で送るか、前と同じ内容を送ってください。", "Use a new key, or send what was sent before."}),
	"request.too-large":      row(http.StatusRequestEntityTooLarge, "一度に送れる量を超えています。", "The request does not fit one submission.", Sentence{"小さく分けて送ってください。", "Send it in smaller parts."}),
	"final.stale":            row(http.StatusServiceUnavailable, "確定の確認が新しくないため、いまはデータを渡せません。", "No final checkpoint is fresh enough to hand data out.", hintRetry),
	"item.absent":            row(http.StatusConflict, "その項目の値を持っていません。", "The member holds no value of the item.", hintName),
	"exception.unknown":      row(http.StatusNotFound, "そのような法令による提供は求められていないか、七日を過ぎています。", "No such disclosure was asked for, or it was more than seven days ago.", hintName),
	"request.unknown":        row(http.StatusNotFound, "その請求はありません。", "There is no such request, or its content was erased.", hintName),
	"request.answered":       row(http.StatusConflict, "その請求には、もう別の答えがあります。", "The request has another answer already.", hintNothing),
	"request.reason":         row(http.StatusUnprocessableEntity, "すべてに応じないときは、理由の説明が要ります。", "What is not done in full must be explained to the person.", hintLaw),
	"recipient.malformed":    row(http.StatusBadRequest, "age の受取人（公開鍵）ではありません。", "This is no age recipient (a public key).", Sentence{"age1… または age1pq1… で始まる公開鍵を渡してください。秘密鍵は渡さないでください。", "Give a public key that begins with age1… or age1pq1…, never a secret key."}),
	"exception.open":         row(http.StatusConflict, "まだ決められていないか、確定していません。", "It was not approved yet, or the record is not final.", Sentence{"別の人の承認を待ってください。", "Wait until another person approves it."}),
	"client.invalid":         row(http.StatusUnprocessableEntity, "アプリの登録内容に誤りがあります。", "The app cannot be registered like this.", hintForm),
	"client.unknown":         row(http.StatusNotFound, "そのアプリは登録されていません。", "No such app is registered.", hintName),
	"read.malformed":         row(http.StatusBadRequest, "読み取りの求め方が違います。", "The read is not well-formed.", Sentence{"purpose と、必要なら items を指定してください。", "Give purpose, and items where fewer are wanted."}),
	"token.invalid":          row(http.StatusUnauthorized, "このアクセストークンでは何も読めません。", "This access token opens nothing.", Sentence{"トークンを更新するか、本人にもう一度たずねてください。", "Refresh the token, or ask the person again."}),
	"proof.invalid":          row(http.StatusUnauthorized, "DPoP の証明が合いません。", "The DPoP proof does not fit.", Sentence{"求めごとに、トークンと結ばれた鍵で新しい証明を作ってください。", "Make a new proof for each request, with the key that the token is bound to."}),
	"declined":               row(http.StatusForbidden, "本人は同意しませんでした。", "The person did not agree.", hintNothing),
	"deferred":               row(http.StatusForbidden, "本人はあとで決めることにしました。", "The person put the decision off.", hintNothing),
	"person.leaving":         row(http.StatusServiceUnavailable, "この人のデータを消しているところです。", "An erasure of this person's data is under way.", hintRetry),
	"person.unknown":         row(http.StatusNotFound, "その参照番号の本人は登録されていません。", "Nobody is registered under this reference.", hintName),
	"dataset.unknown":        row(http.StatusNotFound, "そのような保存データはありません。", "There is no such dataset.", hintName),
	"dataset.full":           row(http.StatusConflict, "この本人の保存データが多すぎます。", "The person has too many datasets.", Sentence{"要らないものを消してください。", "Erase those that are not needed."}),
	"retention.too-long":     row(http.StatusConflict, "規約か決まりより長い保存期間です。", "The terms or a parameter of the consortium allow less.", hintTime),
	"retention.dataset-only": row(http.StatusConflict, "この項目には加盟企業が決めた保存期間があります。登録した項目には終わりがありません。", "The members voted how long this item is kept; registered items have no end.", Sentence{"期限のある保存データとして取得してください（/v1/datasets）。", "Collect it as a dataset, which has one (/v1/datasets)."}),
	"hold.unknown":           row(http.StatusNotFound, "そのような保留はありません。", "There is no such hold.", hintName),
	"hold.too-long":          row(http.StatusUnprocessableEntity, "保留が長すぎます。", "The hold would last too long.", hintTime),
	"series.unknown":         row(http.StatusConflict, "続きになる元の提供がないか、もう残っていません。", "There is no earlier hand-over of this person to this recipient to go on with, or its record is no longer kept.", Sentence{"初めの提供の番号を確かめるか、番号を書かずに送ってください。", "Check the id of the first hand-over, or send it without."}),
	"hold.nothing":           row(http.StatusConflict, "この種類の保留ができるものがありません。", "There is nothing that a hold of this kind may cover.", hintName),
	"parcel.absent":          row(http.StatusConflict, "提供の中身がまだ届いていません。", "The hand-over has not arrived yet.", hintRetry),
}
