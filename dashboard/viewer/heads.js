// Heads in three dimensions: one WebGL 2 context draws all of them, under one camera and one light.

const VERTEX = `#version 300 es
in vec3 position; in vec3 normal; in vec2 uv; in vec4 colour;
uniform mat4 camera;
out vec3 n; out vec2 t; out vec4 c; out vec3 p;
void main() { n = normal; t = uv; c = colour; p = position; gl_Position = camera * vec4(position, 1.0); }`

// Lambert with a soft sky and a Blinn–Phong gloss: to look around a head, not to judge a texture by.
const FRAGMENT = `#version 300 es
precision highp float;
in vec3 n; in vec2 t; in vec4 c; in vec3 p;
uniform sampler2D albedo; uniform vec4 factor; uniform vec3 light; uniform vec3 eye;
uniform float gloss; uniform float grey; uniform float line;
out vec4 result;
void main() {
  vec4 base = texture(albedo, t) * factor * c;
  base.rgb = mix(base.rgb, vec3(0.5), grey);
  vec3 normal = normalize(n), toEye = normalize(eye - p), middle = normalize(light + toEye);
  float facing = max(dot(normal, light), 0.0);
  float sky = 0.34 + 0.12 * normal.y;
  vec3 shone = base.rgb * (sky + 1.05 * facing) + gloss * facing * pow(max(dot(normal, middle), 0.0), 28.0);
  shone = mix(shone, shone * 0.3, line);
  vec3 encoded = mix(1.055 * pow(max(shone, vec3(0.0031308)), vec3(1.0 / 2.4)) - 0.055, shone * 12.92,
                     vec3(lessThan(shone, vec3(0.0031308))));
  float alpha = mix(base.a, 1.0, line);
  result = vec4(encoded * alpha, alpha);
}`

const KEPT_HEADS = 8
const FIELD = (24 * Math.PI) / 180

class Heads {
  constructor() {
    this.canvas = document.createElement("canvas")
    this.gl = this.canvas.getContext("webgl2", { antialias: true, alpha: true, premultipliedAlpha: true })
    this.camera = { yaw: 0, pitch: 0, distance: 0.84 }
    this.light = { azimuth: 35, elevation: 30 }
    this.shading = "textured"
    this.loaded = new Map()
    this.views = new Set()
    this.asked = false
    if (this.gl) this.program = this.linked()
  }

  get works() {
    return Boolean(this.gl) && !this.gl.isContextLost()
  }

  linked() {
    const { gl } = this
    const program = gl.createProgram()
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind)
      gl.shaderSource(shader, source)
      gl.compileShader(shader)
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader))
      gl.attachShader(program, shader)
    }
    for (const [index, name] of ["position", "normal", "uv", "colour"].entries())
      gl.bindAttribLocation(program, index, name)
    gl.linkProgram(program)
    const names = ["camera", "albedo", "factor", "light", "eye", "gloss", "grey", "line"]
    this.at = Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(program, name)]))
    return program
  }

  /** The head at `address`, on the card; what was not used for longest leaves it. */
  load(address) {
    const known = this.loaded.get(address)
    if (known) this.loaded.delete(address)
    const head = known ?? fetch(address)
      .then(async (answer) => {
        if (!answer.ok) throw new Error(await answer.text())
        return this.uploaded(await readGlb(await answer.arrayBuffer()))
      })
    this.loaded.set(address, head)
    for (const [old, parts] of this.loaded) {
      if (this.loaded.size <= KEPT_HEADS) break
      this.loaded.delete(old)
      parts.then((all) => this.freed(all.parts), () => {})
    }
    head.catch(() => this.loaded.delete(address))
    return head
  }

  freed(parts) {
    for (const part of parts) {
      this.gl.deleteVertexArray(part.vertices)
      for (const one of part.buffers) this.gl.deleteBuffer(one)
      if (part.texture) this.gl.deleteTexture(part.texture)
    }
  }

  uploaded(parts) {
    const skin = parts.find((part) => part.name === "skin") ?? parts[0]
    const [low, high] = [[1e9, 1e9, 1e9], [-1e9, -1e9, -1e9]]
    skin.position.array.forEach((value, index) => {
      low[index % 3] = Math.min(low[index % 3], value)
      high[index % 3] = Math.max(high[index % 3], value)
    })
    const middle = low.map((value, axis) => (value + high[axis]) / 2)
    const size = Math.max(high[0] - low[0], high[1] - low[1])
    return { middle, size, parts: parts.map((part) => this.part(part)).sort((a, b) => a.blend - b.blend) }
  }

  part(part) {
    const { gl } = this
    const vertices = gl.createVertexArray()
    const buffers = []
    gl.bindVertexArray(vertices)
    const attributes = [part.position, part.normal, part.uv, part.colour]
    attributes.forEach((values, index) => {
      if (!values) return gl.disableVertexAttribArray(index)
      buffers.push(gl.createBuffer())
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers.at(-1))
      gl.bufferData(gl.ARRAY_BUFFER, values.array, gl.STATIC_DRAW)
      gl.enableVertexAttribArray(index)
      gl.vertexAttribPointer(index, values.size, values.type, values.normalized, 0, 0)
    })
    const index = new Uint32Array(part.index.array)
    const lines = new Uint32Array(index.length * 2)
    for (let at = 0; at < index.length; at += 3)
      for (let side = 0; side < 3; side++) {
        lines[2 * (at + side)] = index[at + side]
        lines[2 * (at + side) + 1] = index[at + ((side + 1) % 3)]
      }
    const [triangles, edges] = [index, lines].map((array) => {
      buffers.push(gl.createBuffer())
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.at(-1))
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, array, gl.STATIC_DRAW)
      return { buffer: buffers.at(-1), count: array.length }
    })
    gl.bindVertexArray(null)
    const coloured = Boolean(part.colour)
    return { vertices, buffers, triangles, edges, coloured, texture: part.image ? this.texture(part.image) : null,
             factor: part.factor, roughness: part.roughness, blend: part.blend }
  }

  texture(image) {
    const { gl } = this
    const texture = gl.createTexture()
    gl.bindTexture(gl.TEXTURE_2D, texture)
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.SRGB8_ALPHA8, gl.RGBA, gl.UNSIGNED_BYTE, image)
    gl.generateMipmap(gl.TEXTURE_2D)
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR)
    const sharp = gl.getExtension("EXT_texture_filter_anisotropic")
    if (sharp) gl.texParameterf(gl.TEXTURE_2D, sharp.TEXTURE_MAX_ANISOTROPY_EXT, 8)
    image.close()
    return texture
  }

  /** White, for parts without a texture. */
  get blank() {
    if (!this.white) {
      const { gl } = this
      this.white = gl.createTexture()
      gl.bindTexture(gl.TEXTURE_2D, this.white)
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 1, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array([255, 255, 255, 255]))
    }
    return this.white
  }

  /** Draw all heads that are shown, once before the next frame. */
  redraw() {
    if (this.asked) return
    this.asked = true
    requestAnimationFrame(() => {
      this.asked = false
      for (const view of this.views) view.draw()
    })
  }

  draw(head, target) {
    const { gl, canvas } = this
    const { width, height } = target
    if (!width || !height) return
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height })
    gl.viewport(0, 0, width, height)
    gl.clearColor(0, 0, 0, 0)
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT)
    gl.enable(gl.DEPTH_TEST)
    gl.enable(gl.BLEND)
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA)
    gl.useProgram(this.program)
    const { matrix, eye } = orbit(head, this.camera, width / height)
    gl.uniformMatrix4fv(this.at.camera, false, matrix)
    gl.uniform3fv(this.at.eye, eye)
    gl.uniform3fv(this.at.light, direction(this.light))
    for (const part of head.parts) this.drawPart(part)
    const context = target.getContext("2d")
    context.clearRect(0, 0, width, height)
    context.drawImage(canvas, 0, 0)
  }

  drawPart(part) {
    const { gl } = this
    const wire = this.shading === "wireframe"
    if (part.blend && this.shading !== "textured") return
    gl.bindVertexArray(part.vertices)
    if (!part.coloured) gl.vertexAttrib4f(3, 1, 1, 1, 1)
    gl.bindTexture(gl.TEXTURE_2D, part.texture ?? this.blank)
    gl.uniform4fv(this.at.factor, part.factor)
    gl.uniform1f(this.at.gloss, this.shading === "textured" ? 0.16 * (1 - part.roughness) : 0.03)
    gl.uniform1f(this.at.grey, this.shading === "textured" ? 0 : 1)
    gl.uniform1f(this.at.line, 0)
    gl.depthMask(!part.blend)
    if (part.blend) gl.disable(gl.CULL_FACE)
    else gl.enable(gl.CULL_FACE)
    if (wire) {
      gl.enable(gl.POLYGON_OFFSET_FILL)
      gl.polygonOffset(1, 1)
    }
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, part.triangles.buffer)
    gl.drawElements(gl.TRIANGLES, part.triangles.count, gl.UNSIGNED_INT, 0)
    gl.disable(gl.POLYGON_OFFSET_FILL)
    if (wire) {
      gl.uniform1f(this.at.line, 1)
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, part.edges.buffer)
      gl.drawElements(gl.LINES, part.edges.count, gl.UNSIGNED_INT, 0)
    }
    gl.depthMask(true)
    gl.bindVertexArray(null)
  }
}

/** A unit vector towards the light; azimuth to the right of who looks at the front. */
function direction({ azimuth, elevation }) {
  const [a, e] = [azimuth, elevation].map((degrees) => (degrees * Math.PI) / 180)
  return [Math.sin(a) * Math.cos(e), Math.sin(e), Math.cos(a) * Math.cos(e)]
}

/** The matrix of a camera on a sphere around the head, column by column, and where the eye is. */
function orbit(head, { yaw, pitch, distance }, aspect) {
  const forward = direction({ azimuth: (yaw * 180) / Math.PI, elevation: (pitch * 180) / Math.PI })
  // A narrow window shows the whole head too.
  const away = (distance * head.size * 3.6) / Math.min(1, aspect)
  const eye = head.middle.map((value, axis) => value + forward[axis] * away)
  const right = [Math.cos(yaw), 0, -Math.sin(yaw)]
  const up = [forward[1] * right[2] - forward[2] * right[1], forward[2] * right[0] - forward[0] * right[2],
              forward[0] * right[1] - forward[1] * right[0]]
  const dot = (axis) => -axis.reduce((sum, value, index) => sum + value * eye[index], 0)
  const look = [[...right, dot(right)], [...up, dot(up)], [...forward, dot(forward)]]
  const tall = 1 / Math.tan(FIELD / 2)
  const [near, far] = [away * 0.05, away * 3]
  const rows = [look[0].map((v) => (v * tall) / aspect), look[1].map((v) => v * tall),
                look[2].map((v, i) => v * ((far + near) / (near - far)) + (i === 3 ? (2 * far * near) / (near - far) : 0)),
                look[2].map((v) => -v)]
  return { matrix: [0, 1, 2, 3].flatMap((column) => rows.map((row) => row[column])), eye }
}

/** One head in its window: drag turns it, with Shift held the light; the wheel comes nearer. */
class HeadView {
  constructor(heads, address, label) {
    this.heads = heads
    this.canvas = make("canvas", { role: "img", "aria-label": label })
    this.note = make("p", { class: "missing", role: "note" }, "loading …")
    this.element = make("div", { class: "window head" }, this.canvas, this.note)
    this.watch = new ResizeObserver(() => heads.redraw())
    this.watch.observe(this.element)
    heads.views.add(this)
    heads.load(address).then((head) => {
      this.head = head
      this.note.remove()
      heads.redraw()
    }, (error) => { this.note.textContent = `this head cannot be shown: ${error.message}` })
    this.listen()
  }

  close() {
    this.watch.disconnect()
    this.heads.views.delete(this)
  }

  draw() {
    const { clientWidth, clientHeight } = this.element
    const [width, height] = [clientWidth, clientHeight].map((one) => Math.round(one * devicePixelRatio))
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height })
    if (this.head && this.heads.works) this.heads.draw(this.head, this.canvas)
  }

  listen() {
    const { element, heads } = this
    const pointers = new Map()
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId)
      pointers.set(event.pointerId, event)
    })
    element.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId)
      if (!before) return
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1]
      pointers.set(event.pointerId, event)
      const [x, y] = [event.clientX - before.clientX, event.clientY - before.clientY]
      if (other) {
        const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1
        heads.nearer(apart(before) / apart(event))
      } else if (event.shiftKey) heads.shine(x * 0.6, -y * 0.6)
      else heads.turn(-x * 0.008, y * 0.008)
    })
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"])
      element.addEventListener(name, (event) => pointers.delete(event.pointerId))
    element.addEventListener("wheel", (event) => {
      event.preventDefault()
      heads.nearer(Math.exp(event.deltaY * 0.001))
    }, { passive: false })
    element.addEventListener("dblclick", () => heads.front())
  }
}

Object.assign(Heads.prototype, {
  changed() {},
  turn(yaw, pitch) {
    this.camera.yaw += yaw
    this.camera.pitch = Math.min(1.4, Math.max(-1.4, this.camera.pitch + pitch))
    this.redraw()
  },
  nearer(factor) {
    this.camera.distance = Math.min(2, Math.max(0.12, this.camera.distance * factor))
    this.redraw()
  },
  front() {
    Object.assign(this.camera, { yaw: 0, pitch: 0, distance: 0.84 })
    this.redraw()
  },
  shine(azimuth, elevation) {
    this.light.azimuth = Math.min(180, Math.max(-180, this.light.azimuth + azimuth))
    this.light.elevation = Math.min(90, Math.max(-90, this.light.elevation + elevation))
    this.changed()
    this.redraw()
  },
})
