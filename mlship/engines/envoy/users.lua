-- Whose request it is: runs in the router (Envoy's Lua filter) while routes are sticky. Comes after `sha256.lua`.
--
-- The first request of each user is marked, and written to a log of its own (see `users.py`). Each thread of the router
-- has a memory of its own, so a user may be marked once by each; whoever reads the log counts the user once. A user is
-- remembered and written down by a digest only, which is another one after each change of the routes.
--
-- Whatever goes wrong here: the request goes on, and is counted for nobody.

-- What is longer is cut; and so many users are remembered by each thread, later ones are not counted.
local LONGEST, MOST = 1024, 100000

local seen, users, since = {}, 0, nil

-- Names for callers who have no cookie yet: no two threads begin at the same number, nor does a restarted router.
local born = tostring({}) .. os.time()
local newcomers = 0

local function digest(text)
    local a, b = sha256(since .. "\n" .. sub(text, 1, LONGEST))
    return tohex(a) .. tohex(b)
end

-- The value of a cookie; nil without it.
local function cookie(headers, name)
    for at = 0, headers:getNumValues("cookie") - 1 do
        for key, value in headers:getAtIndex("cookie", at):gmatch("%s*([^=;]+)=([^;]*)") do
            if key == name and value ~= "" then return (value:gsub('^"(.*)"$', "%1")) end
        end
    end
end

local function mark(handle, key, value)
    handle:streamInfo():dynamicMetadata():set("mlship", key, value)
end

-- A name for a caller without one, by which the next request is routed as this one is: the route is chosen anew.
local function welcome(handle, context)
    newcomers = newcomers + 1
    local name = context:get("since") .. digest(born .. "/" .. newcomers)
    handle:headers():add("cookie", context:get("cookie") .. "=" .. name)
    handle:clearRouteCache()
    mark(handle, "newcomer", context:get("cookie") .. "=" .. name .. context:get("attributes"))
    mark(handle, "alone", "1")
end

local function meet(handle, context)
    if since ~= context:get("since") then seen, users, since = {}, 0, context:get("since") end
    local name
    if context:get("cookie") ~= nil then
        name = cookie(handle:headers(), context:get("cookie"))
        if name == nil then return welcome(handle, context) end
        if sub(name, 1, #since) == since then return end  -- was counted as it got its name
    else
        name = handle:headers():get(context:get("header"))
        if name == nil or name == "" then return mark(handle, "alone", "1") end
    end
    local user = digest(name)
    if seen[user] or users >= MOST then return end
    seen[user], users = true, users + 1
    mark(handle, "user", since .. " " .. user)
end

function envoy_on_request(handle)
    pcall(meet, handle, handle:filterContext())
end

function envoy_on_response(handle)
    local told = handle:streamInfo():dynamicMetadata():get("mlship")
    if told ~= nil and told["newcomer"] ~= nil then handle:headers():add("set-cookie", told["newcomer"]) end
end
