-- Who may call: runs in the router (Envoy's Lua filter) for every request that needs credentials.
--
-- The route configuration says what is let in (see `auth.py`): SHA-256 digests of API keys, and whether a token that the
-- filter jwt_authn has verified will do. A key is hashed, and its digest compared with every known one to the last bit,
-- so that time tells a stranger nothing. Whatever goes wrong here refuses the request: Envoy itself would let it through.
-- Comes after `sha256.lua`.

-- A longer one is no key of ours, and not worth hashing.
local LONGEST = 1024

-- Known digests as words, one after the other, kept until the route configuration names another set.
local known, known_id = {}, nil

local function load_digests(context)
    local id = context:get("id")
    if id == known_id then return end
    local hex, read = context:get("digests"), {}
    for at = 1, #hex, 8 do read[#read + 1] = tobit(tonumber(sub(hex, at, at + 7), 16)) end
    known, known_id = read, id
end

-- Whether this is one of the keys. Every digest is compared whole, also after one has matched.
local function is_key(text)
    if #text == 0 or #text > LONGEST then return false end
    local h1, h2, h3, h4, h5, h6, h7, h8 = sha256(text)
    local found = 0
    for i = 1, #known, 8 do
        local different = bor(
            bxor(known[i], h1), bxor(known[i + 1], h2), bxor(known[i + 2], h3), bxor(known[i + 3], h4),
            bxor(known[i + 4], h5), bxor(known[i + 5], h6), bxor(known[i + 6], h7), bxor(known[i + 7], h8)
        )
        -- 1 when nothing is different, else 0: the sign bit of x or -x is set for every x but 0.
        found = bor(found, rshift(bnot(bor(different, tobit(-different))), 31))
    end
    return found == 1
end

local function allowed(handle, context)
    local headers = handle:headers()
    local key, authorization = headers:get(context:get("header")), headers:get("authorization")
    local given = key ~= nil or authorization ~= nil
    if context:get("id") ~= nil then
        load_digests(context)
        if key ~= nil and is_key(key) then return true, given end
        if authorization ~= nil and sub(authorization, 1, 7):lower() == "bearer " and is_key(sub(authorization, 8)) then
            return true, given
        end
    end
    if context:get("jwt") then
        -- Only jwt_authn writes there, and only what it has verified.
        local verified = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.jwt_authn")
        if verified ~= nil and verified["claims"] ~= nil then return true, given end
    end
    return false, given
end

function envoy_on_request(handle)
    local context = handle:filterContext()
    local fine, let_in, given = pcall(allowed, handle, context)
    if fine and let_in then return end
    if given or not fine then
        handle:respond(
            {[":status"] = "401", ["www-authenticate"] = context:get("challenge") .. ', error="invalid_token"'},
            "the credentials are not valid"
        )
    else
        handle:respond(
            {[":status"] = "401", ["www-authenticate"] = context:get("challenge")}, context:get("missing")
        )
    end
end
